//! A graphql-transport-ws client.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::client::Client;

/// One socket with one subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What came over a socket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pushed {
    /// The data of a `next` message.
    Next(Value),
    /// The errors of an `error` message.
    Error(Value),
    /// The subscription is over.
    Complete,
    /// The socket was closed, with this code.
    Closed(u16),
}

async fn open(
    address: SocketAddr,
    token: Option<&str>,
) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    let (mut stream, _) = connect_async(request).await.expect("a socket");
    let payload =
        token.map_or(json!({}), |token| json!({ "authorization": format!("Bearer {token}") }));
    let init = json!({ "type": "connection_init", "payload": payload });
    stream.send(Message::text(init.to_string())).await.expect("sent");
    stream
}

impl Client {
    /// Opens a socket; what the server answers to `connection_init`: an acknowledgement, or the code it closes with.
    pub(crate) async fn connect(&self) -> Result<Subscription, u16> {
        let mut opened = Subscription { stream: open(self.address, self.token.as_deref()).await };
        let ack = opened.message().await?;
        assert_eq!(ack["type"], "connection_ack");
        Ok(opened)
    }

    /// Opens a socket and subscribes.
    pub(crate) async fn subscribe(&self, query: &str, variables: Value) -> Subscription {
        let mut subscription = self.connect().await.expect("the session is good");
        let payload = json!({ "query": query, "variables": variables });
        subscription.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
        subscription
    }

    /// Watches the place in line.
    pub(crate) async fn watch_queue(&self, schedule_id: &str) -> Subscription {
        let fields = super::shop::QUEUE_TOKEN;
        let query =
            format!("subscription ($id: ID!) {{ queueStatus(scheduleId: $id) {{ {fields} }} }}");
        self.subscribe(&query, json!({ "id": schedule_id })).await
    }
}

impl Subscription {
    /// Sends a message of the protocol.
    pub(crate) async fn send(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// The next message of the protocol, pings and pongs among them, or the close code.
    pub(crate) async fn message_with_pings(&mut self) -> Result<Value, u16> {
        let wait = tokio::time::timeout(Duration::from_secs(15), async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Ok(serde_json::from_str(&text).expect("JSON"));
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(1006),
                }
            }
        });
        wait.await.expect("nothing was pushed for 15 seconds")
    }

    /// The next message of the protocol, or the close code; pings are answered on the way.
    async fn message(&mut self) -> Result<Value, u16> {
        let wait = tokio::time::timeout(Duration::from_secs(15), async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let message: Value = serde_json::from_str(&text).expect("JSON");
                        if message["type"] == "ping" {
                            self.stream
                                .send(Message::text(r#"{"type":"pong"}"#))
                                .await
                                .expect("sent");
                        } else if message["type"] != "pong" {
                            return Ok(message);
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(1006),
                }
            }
        });
        wait.await.expect("nothing was pushed for 15 seconds")
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Pushed {
        match self.message().await {
            Ok(mut message) => match message["type"].as_str() {
                Some("next") if message["payload"].get("errors").is_none() => {
                    Pushed::Next(message["payload"]["data"].take())
                }
                Some("next") => Pushed::Error(message["payload"]["errors"].take()),
                Some("error") => Pushed::Error(message["payload"].take()),
                Some("complete") => Pushed::Complete,
                _ => panic!("unexpected message {message}"),
            },
            Err(code) => Pushed::Closed(code),
        }
    }

    /// What comes within a moment, if anything does.
    pub(crate) async fn soon(&mut self) -> Option<Pushed> {
        tokio::time::timeout(Duration::from_millis(300), self.next()).await.ok()
    }

    /// The subscription's field in the next push, which has to be data.
    pub(crate) async fn field(&mut self) -> Value {
        match self.next().await {
            Pushed::Next(data) => {
                data.as_object().expect("data").values().next().expect("one field").clone()
            }
            other => panic!("expected data, got {other:?}"),
        }
    }

    /// The first push whose field passes, within 15 seconds each.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut passes: impl FnMut(&Value) -> bool,
    ) -> Value {
        for _ in 0..10_000 {
            let field = self.field().await;
            if passes(&field) {
                return field;
            }
        }
        panic!("never pushed: {what}");
    }
}
