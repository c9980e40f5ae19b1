"""localstripe on a free port, with what it lacks and Stripe has.

It lacks idempotency keys, confirming with a payment method and a return_url, search, and the refusal to refund a charge twice.
These are added here by Stripe's
documentation; objects, states, errors, refunds and the signing of webhooks are localstripe's own. Nothing is written to disk.
The first line of output is the port. A test can make it fail:
    POST /_config/trouble {"path": "/confirm", "status": 500, "does": true, "times": 1}
"""

import asyncio
import json

from aiohttp import web
from localstripe import resources, server
from localstripe.errors import UserError

resources.Store.dump_to_disk = lambda self: None
Intent = resources.PaymentIntent


def confirm(id, payment_method=None, return_url=None):
    intent = Intent._api_retrieve(id)
    if intent.status not in ("requires_payment_method", "requires_confirmation"):
        raise UserError(400, "state", {"code": "payment_intent_unexpected_state"})
    if payment_method is not None:
        if "payment_method:" + payment_method not in resources.store:
            raise UserError(400, "No such PaymentMethod",
                            {"code": "resource_missing", "param": "payment_method"})
        intent.payment_method = payment_method
    intent._confirm(on_failure_now=intent._report_failure)
    if intent.next_action and return_url:
        intent.next_action = {"type": "redirect_to_url", "redirect_to_url": {
            "url": "https://hooks.example/" + intent.id, "return_url": return_url}}
    return intent


async def confirm_route(request):
    data = dict(await request.post())
    return server.json_response(confirm(request.match_info["id"], **data)._export())


async def refund_route(request):
    data = server.unflatten_data(await request.post())
    charge = Intent._api_retrieve(data["payment_intent"]).latest_charge
    if charge is not None and charge.refunded:
        raise UserError(400, "refunded", {"code": "charge_already_refunded"})
    return server.json_response(resources.Refund._api_create(**data)._export())


async def search_route(request):
    # The one form that is used: metadata['payment_id']:'...'
    wanted = request.query["query"].split("'")[3]
    found = [o._export() for key, o in resources.store.items()
             if key.startswith("payment_intent:") and o.metadata.get("payment_id") == wanted]
    if (await request.text()) or len(request.query) != 1:
        raise UserError(400, "Bad request")
    return server.json_response({"object": "search_result", "data": found, "has_more": False})


kept, troubles = {}, []


@web.middleware
async def remember(request, handler):
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return await handler(request)
    asked = (request.path, await request.text())
    if key in kept:
        before, status, body = kept[key]
        if before != asked:
            return server.json_response(
                {"error": {"type": "idempotency_error", "message": "other parameters"}}, status=400)
        return web.Response(status=status, text=body, content_type="application/json",
                            headers={"Idempotent-Replayed": "true"})
    try:
        answer = await handler(request)
    except UserError as error:
        answer = error.to_response()
    if answer.status != 429:
        kept[key] = (asked, answer.status, answer.text)
    return answer


@web.middleware
async def trouble(request, handler):
    for made in troubles:
        if request.path.endswith(made["path"]) and made["times"] > 0:
            made["times"] -= 1
            if made.get("does"):
                await handler(request)
            return server.json_response({"error": {"type": "api_error"}}, status=made["status"])
    return await handler(request)


async def trouble_route(request):
    troubles.append(await request.json())
    return web.Response()


async def forget_route(request):
    kept.clear()
    return web.Response()


async def main():
    app = web.Application(middlewares=[
        server.error_middleware, server.auth_middleware, remember, trouble])
    app.router.add_post("/v1/payment_intents/{id}/confirm", confirm_route)
    app.router.add_post("/v1/refunds", refund_route)
    app.router.add_get("/v1/payment_intents/search", search_route)
    app.router.add_post("/_config/trouble", trouble_route)
    app.router.add_post("/_config/forget", forget_route)
    for route in server.app.router.routes():
        app.router.add_route(route.method, route.resource.canonical, route.handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
