from gql import Client
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.websockets import WebsocketsTransport


def by_http(url, access_token=None):
    headers = {"Authorization": f"Bearer {access_token}"} if access_token else None
    return Client(transport=AIOHTTPTransport(url=url, headers=headers))


def by_websocket(url, access_token):
    return Client(transport=WebsocketsTransport(
        url=url.replace("http", "ws", 1),
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],  # graphql-transport-ws
        init_payload={"authorization": f"Bearer {access_token}"},
    ))
