// The way of a fan, one operation a tab. Blank variables are filled in from the answers (fill-in.jsx).
const tab = (query, variables) => ({
  query: query.trim() + "\n",
  variables: variables && JSON.stringify(variables, null, 2),
});

export const tabs = [
  tab(
    `
# 1. Log in as the demo fan. Your session is then
#    filled into the Headers of every tab, and the ids
#    of each answer into the Variables of the next
#    tabs: run them one after another.
mutation LogIn($email: String!, $password: String!) {
  logIn(
    input: { email: $email, password: $password }
  ) {
    session {
      accessToken
      expiresAt
      user { name role }
    }
    userErrors { code message path }
  }
}`,
    { email: "fan@frontrow.example", password: "front-row-demo" },
  ),
  tab(
    `
# 2. What is on: concerts, their performances on
#    sale, what is left of each grade, and how busy
#    the waiting room is. Needs no session.
query Concerts($search: String) {
  concerts(first: 5, search: $search) {
    nodes {
      title
      artist
      venue
      schedules {
        id
        startsAt
        remainingSeats
        grades { grade price total remaining }
        waitingRoom {
          status
          waitingCount
          activeCount
          estimatedWaitSeconds
        }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}`,
    { search: null },
  ),
  tab(
    `
# 3. Take a place in the line. Run it again: you
#    keep the same place.
mutation EnterQueue($scheduleId: ID!) {
  enterQueue(scheduleId: $scheduleId) {
    queueToken {
      token
      scheduleId
      status
      position
      waitingCount
      estimatedWaitSeconds
    }
    userErrors { code message }
  }
}`,
    { scheduleId: "" },
  ),
  tab(
    `
# 4. Watch your place move, live, until it is ACTIVE:
#    then it is your turn, and remainingSeconds says
#    for how long. Leaving this tab stops the stream.
subscription QueueStatus($scheduleId: ID!) {
  queueStatus(scheduleId: $scheduleId) {
    token
    scheduleId
    status
    position
    waitingCount
    estimatedWaitSeconds
    remainingSeconds
  }
}`,
    { scheduleId: "" },
  ),
  tab(
    `
# 5. The free seats of one grade, once your place is
#    ACTIVE. Without the grade you see all of them.
query Seats(
  $scheduleId: ID!
  $queueToken: String!
  $grade: String
) {
  seats(
    scheduleId: $scheduleId
    queueToken: $queueToken
    grade: $grade
    status: [AVAILABLE]
  ) {
    id
    section
    row
    number
    grade
    price
    status
  }
}`,
    { scheduleId: "", queueToken: "", grade: "" },
  ),
  tab(
    `
# 6. Hold a seat. For five minutes nobody else can
#    take it.
mutation HoldSeat(
  $scheduleId: ID!
  $seatId: ID!
  $queueToken: String!
) {
  holdSeat(
    input: {
      scheduleId: $scheduleId
      seatId: $seatId
      queueToken: $queueToken
    }
  ) {
    reservation {
      id
      status
      totalPrice
      remainingSeconds
      seats { section row number status }
    }
    userErrors { code message seatIds }
  }
}`,
    { scheduleId: "", seatId: "", queueToken: "" },
  ),
  tab(
    `
# 7. Add points to your wallet. With the same key it
#    happens once, however often you run it; change
#    the key to charge again.
mutation Charge($points: Points!, $chargeKey: String!) {
  charge(
    input: { amount: $points, idempotencyKey: $chargeKey }
  ) {
    entry { kind delta balanceAfter createdAt }
    balance
    userErrors { code message }
  }
}`,
    { points: 300000, chargeKey: "" },
  ),
  tab(
    `
# 8. Pay for what you hold, with points. Then the
#    seat is sold, to you.
mutation Pay(
  $reservationId: ID!
  $amount: Points!
  $paymentKey: String!
) {
  pay(
    input: {
      reservationId: $reservationId
      method: POINT
      amount: $amount
      idempotencyKey: $paymentKey
    }
  ) {
    payment {
      id
      status
      amount
      reservation {
        status
        confirmedAt
        seats { section row number status }
      }
    }
    userErrors { code message }
  }
}`,
    { reservationId: "", amount: null, paymentKey: "" },
  ),
  tab(`
# 9. Your points, how they came and went, and what
#    you own.
query Wallet {
  balance
  walletEntries(first: 10) {
    nodes { kind delta balanceAfter createdAt }
  }
  reservations(first: 10) {
    nodes {
      id
      status
      totalPrice
      schedule { startsAt concert { title } }
      seats { section row number }
    }
  }
}`),
  tab(`
# 10. Cards. Is the answer null, none are taken here:
#     11 and 13 say GATEWAY_UNAVAILABLE then, and
#     nothing is charged. With "sandbox" no money moves.
query Cards {
  cardGateway { name publishableKey }
}`),
  tab(
    `
# 11. Add points by card. As with 7, change the key to
#     charge again.
mutation ChargeByCard(
  $points: Points!
  $cardChargeKey: String!
  $cardToken: String!
) {
  charge(
    input: {
      amount: $points
      idempotencyKey: $cardChargeKey
      cardToken: $cardToken
    }
  ) {
    status
    action { redirectUrl expiresAt }
    entry { kind delta balanceAfter createdAt }
    balance
    userErrors { code message }
  }
}`,
    { points: 50000, cardChargeKey: "", cardToken: "tok_ok" },
  ),
  tab(
    `
# 12. Hold one more seat, the best that is free in the
#     grade of 5. Your turn lasts while you act.
mutation HoldBest(
  $scheduleId: ID!
  $grade: String!
  $queueToken: String!
) {
  holdBestSeats(
    input: {
      scheduleId: $scheduleId
      grade: $grade
      count: 1
      queueToken: $queueToken
    }
  ) {
    reservation {
      id
      status
      totalPrice
      remainingSeconds
      seats { section row number status }
    }
    userErrors { code message seatIds }
  }
}`,
    { scheduleId: "", grade: "", queueToken: "" },
  ),
  tab(
    `
# 13. Pay for what you hold, with the sandbox's card.
#     GATEWAY_UNAVAILABLE: no cards here, but 8 works.
#     tok_declined is declined: FAILED, the seat stays
#     held. tok_challenge is PENDING: open redirectUrl,
#     confirm, and run this again. With returnUrl (this
#     page's address) the bank's page leads back here.
mutation PayByCard(
  $reservationId: ID!
  $amount: Points!
  $paymentKey: String!
  $cardToken: String!
  $returnUrl: String
) {
  pay(
    input: {
      reservationId: $reservationId
      method: CARD
      amount: $amount
      idempotencyKey: $paymentKey
      cardToken: $cardToken
      returnUrl: $returnUrl
    }
  ) {
    payment {
      id
      status
      failureCode
      amount
      action { redirectUrl expiresAt }
      reservation {
        status
        confirmedAt
        seats { section row number status }
      }
    }
    userErrors { code message }
  }
}`,
    {
      reservationId: "",
      amount: null,
      paymentKey: "",
      cardToken: "tok_ok",
      returnUrl: null,
    },
  ),
];
