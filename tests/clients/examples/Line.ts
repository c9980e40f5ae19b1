import { graphql } from "relay-runtime";

export const place = graphql`
  fragment Line_place on QueueToken { status position estimatedWaitSeconds endedBecause }
`;
export const concerts = graphql`
  query LineConcertsQuery($search: String, $after: String) {
    concerts(first: 20, search: $search, after: $after) @connection(key: "Line_concerts") { edges { node { title schedules { startsAt } } } }
  }
`;
export const enter = graphql`
  mutation LineEnterMutation($id: ID!) {
    enterQueue(scheduleId: $id) { queueToken { token ...Line_place } userErrors { code message } }
  }
`;
export const watch = graphql`
  subscription LineWatchSubscription($id: ID!) { queueStatus(scheduleId: $id) { token ...Line_place } }
`;
