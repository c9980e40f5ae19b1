import { graphql } from "./gql";

export const HoldSeat = graphql(`
  mutation HoldSeat($input: HoldSeatInput!) {
    holdSeat(input: $input) { reservation { id expiresAt totalPrice } userErrors { code message path } }
  }
`);
