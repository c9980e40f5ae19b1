"""The way of a fan with gql, as docs/clients.md shows it. Prints what the test looks at, as JSON."""
import asyncio
import json
import sys
import uuid

sys.path.insert(0, f"{sys.path[0]}/examples")
from frontrow import by_http, by_websocket  # noqa: E402
from gql import gql  # noqa: E402
from gql.transport.exceptions import TransportQueryError  # noqa: E402

SIGN_UP = gql("mutation ($input: SignUpInput!) { signUp(input: $input) { session { accessToken } userErrors { code } } }")
ENTER = gql("mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } userErrors { code } } }")
WATCH = gql("subscription ($id: ID!) { queueStatus(scheduleId: $id) { token status } }")
SEATS = gql("query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { id status } }")
HOLD = gql("mutation ($input: HoldSeatInput!) { holdSeat(input: $input) { reservation { id totalPrice } userErrors { code } } }")
CHARGE = gql("mutation ($input: ChargeInput!) { charge(input: $input) { balance userErrors { code } } }")
PAY = gql("mutation ($input: PayInput!) { pay(input: $input) { payment { status reservation { status } } userErrors { code } } }")


def payload(answer):
    [payload] = answer.values()
    assert payload["userErrors"] == [], payload
    return payload


async def until(places, status):
    seen = []
    async for answer in places:
        seen.append(answer["queueStatus"])
        if seen[-1]["status"] == status:
            return seen[-1]
    raise AssertionError(f"no {status}, but {seen}")


async def fan(url, schedule):
    def unique(word):
        return f"{word}-{uuid.uuid4().hex[:12]}"

    async def done(http, document, **variables):
        document.variable_values = variables
        return payload(await http.execute(document))

    async with by_http(url) as http:
        account = {"email": f"{unique('python')}@frontrow.example", "password": unique("password"), "name": "Python"}
        access_token = (await done(http, SIGN_UP, input=account))["session"]["accessToken"]
        SEATS.variable_values = {"id": schedule, "token": "none"}
        try:
            await http.execute(SEATS)
            raise AssertionError("without a session nobody sees the seats")
        except TransportQueryError as error:
            refused = error.errors[0]["extensions"]["code"]

    client = by_websocket(url, access_token)
    async with by_http(url, access_token) as http, client as socket:
        await done(http, ENTER, id=schedule)
        WATCH.variable_values = {"id": schedule}
        places = socket.subscribe(WATCH)
        token = (await until(places, "ACTIVE"))["token"]
        client.transport.pong_received.clear()
        await client.transport.send_ping({"authorization": f"Bearer {access_token}"})
        await client.transport.pong_received.wait()
        handed_over = client.transport.payloads["pong"]
        assert handed_over["sessionSecondsLeft"] > 0 and "refused" not in handed_over, handed_over

        SEATS.variable_values = {"id": schedule, "token": token}
        seat = next(seat for seat in (await http.execute(SEATS))["seats"] if seat["status"] == "AVAILABLE")
        held = await done(http, HOLD, input={"scheduleId": schedule, "seatId": seat["id"], "queueToken": token})
        price = held["reservation"]["totalPrice"]
        await done(http, CHARGE, input={"amount": price, "idempotencyKey": unique("charge")})
        paid = await done(http, PAY, input={
            "reservationId": held["reservation"]["id"], "method": "POINT", "amount": price, "idempotencyKey": unique("pay"),
        })
        used = await until(places, "USED")
        # It completes by itself then.
        assert [place async for place in places] == []
        return {
            "subprotocol": client.transport.adapter.websocket.subprotocol,
            "refused": refused, "price": price, "payment": paid["payment"], "place": used["status"],
        }


async def main():
    print(json.dumps(await asyncio.wait_for(fan(*sys.argv[1:]), 60)))


asyncio.run(main())
