//! HTTP over a bounded pool of keep-alive connections.
//!
//! Small on purpose: one kind of request, and answers with a content length. What a request waits for a connection of ours
//! is told apart from what it waits for the server.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};

use super::{Sources, Target, stream::Stream};

/// No answer is larger.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most are smaller.
const ANSWER_BYTES_USUAL: usize = 2_048;

/// Connections to one instance.
#[derive(Debug)]
pub struct Pool {
    target: Target,
    idle: Mutex<Vec<Stream>>,
    permits: Semaphore,
    patience: Duration,
    resends: bool,
}

/// An answer, and how long it took.
#[derive(Debug)]
pub struct Answer {
    pub from: Signature,
    pub body: Vec<u8>,
    /// From the first byte sent to the last byte received.
    pub latency: Duration,
    /// What the request waited for a connection of ours before.
    pub queued: Duration,
}

impl Pool {
    /// At most this many connections, and this much time for each answer.
    pub const fn new(target: Target, connections: usize, patience: Duration) -> Self {
        let permits = Semaphore::const_new(connections);
        Self { target, idle: Mutex::new(Vec::new()), permits, patience, resends: true }
    }

    /// Sends every request once. What a closed connection makes of it is told, so that a caller who keeps books of requests
    /// has one entry for each.
    #[must_use]
    pub const fn without_resending(mut self) -> Self {
        self.resends = false;
        self
    }

    /// How long an answer may take.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Posts JSON. A connection that the server had closed meanwhile is replaced once, if nothing came back on it, unless
    /// [`Pool::without_resending`] says otherwise.
    ///
    /// # Errors
    /// Without an answer in time.
    pub async fn post(
        &self,
        sources: &Sources,
        session: Option<&str>,
        body: &[u8],
    ) -> io::Result<Answer> {
        let asked = Instant::now();
        let permit = self.permits.acquire().await.map_err(io::Error::other)?;
        let queued = asked.elapsed();
        let request = self.request(session, body);
        let sent = Instant::now();
        let answered = timeout(self.patience, async {
            let mut answer = Vec::with_capacity(ANSWER_BYTES_USUAL);
            if let Some(mut stream) = self.kept() {
                match exchange(&mut stream, &request, &mut answer).await {
                    Err(error)
                        if self.resends && error.kind() == io::ErrorKind::ConnectionAborted => {}
                    outcome => return outcome.map(|head| (stream, answer, head)),
                }
            }
            let mut stream = sources.connect(&self.target).await?;
            let head = exchange(&mut stream, &request, &mut answer).await?;
            Ok((stream, answer, head))
        });
        let (stream, mut body, head) =
            answered.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let latency = sent.elapsed();
        let from = Signature::of(&body[..head]);
        body.drain(..head);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        drop(permit);
        Ok(Answer { from, body, latency, queued })
    }

    /// A connection that was kept and that the server has not closed meanwhile.
    fn kept(&self) -> Option<Stream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut stream) = idle.pop() {
            // Between two answers there is nothing to read, unless it is the end.
            if stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    fn request(&self, session: Option<&str>, body: &[u8]) -> Vec<u8> {
        let Target { host, path, .. } = &self.target;
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(session) = session {
            request.push_str("authorization: Bearer ");
            request.push_str(session);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// Sends a request as it stands and reads one answer, which replaces what is in `answer`; how long its head is.
///
/// # Errors
/// `ConnectionAborted` when the connection was closed before the answer began, others when it broke off later, or has no
/// content length.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    request: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<usize> {
    let aborted = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
    answer.clear();
    stream.write_all(request).await.map_err(aborted)?;
    stream.flush().await.map_err(aborted)?;
    loop {
        let before = answer.len();
        let read = stream.read_buf(answer).await;
        match read {
            Ok(0) | Err(_) if before == 0 => return Err(io::ErrorKind::ConnectionAborted.into()),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            other => other?,
        };
        let Some((head, length)) = head_of(answer)? else { continue };
        if length > ANSWER_BYTES_MAX {
            return Err(io::Error::other("the answer is too large"));
        }
        while answer.len() < head + length {
            if stream.read_buf(answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(head);
    }
}

/// The lengths of head and body, once the head is there.
fn head_of(answer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length
        .map(|length| Some((end + 4, length)))
        .ok_or_else(|| io::Error::other("an answer without a content length"))
}

/// Who gave an answer, by its head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    pub status: u16,
    /// Who refused in the server's stead: our nginx says so in a field of its own.
    pub refused_by: Option<String>,
    /// What calls itself the server: `nginx` of `nginx/1.22.1`.
    pub server: Option<String>,
}

impl Signature {
    pub(super) fn of(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let field = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        let word = |value: &str| value.split(['/', ' ']).next().map(str::to_owned);
        Self {
            status: head.split(' ').nth(1).and_then(|it| it.trim().parse().ok()).unwrap_or(0),
            refused_by: field("x-refused-by").and_then(word),
            server: field("server").and_then(word).filter(|word| !word.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_that_the_server_has_closed_are_not_used_again() {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(ANSWER).await.unwrap();
                // Closed after each answer, without a word in the head.
            }
        });
        let target = Target::parse(&url, false).unwrap();
        let pool = Pool::new(target, 1, Duration::from_secs(10)).without_resending();
        let sources = Sources::new(0);
        assert_eq!(pool.post(&sources, None, b"{}").await.unwrap().body, b"{}");
        // Until the end has arrived here, it cannot be known.
        let closed = || pool.idle.lock().unwrap().iter_mut().all(|stream| !stream.is_quiet());
        while !closed() {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.post(&sources, None, b"{}").await.unwrap().body, b"{}");
        served.await.unwrap();
    }

    #[test]
    fn the_head_tells_how_long_the_body_is() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhe";
        assert_eq!(head_of(head).unwrap(), Some((head.len() - 2, 5)));
        assert_eq!(head_of(b"HTTP/1.1 200 OK\r\ncontent-len").unwrap(), None);
        assert!(head_of(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn the_head_tells_who_answered() {
        let of = |head: &str| Signature::of(head.as_bytes());
        let told = of(
            "HTTP/1.1 429 Too Many Requests\r\nServer: nginx/1.22.1\r\nX-Refused-By: nginx\r\n\r\n",
        );
        let nginx = Some("nginx".to_owned());
        assert_eq!(told, Signature { status: 429, refused_by: nginx.clone(), server: nginx });
        assert_eq!(
            of("HTTP/1.1 200 OK\r\n\r\n"),
            Signature { status: 200, ..Signature::default() }
        );
        assert_eq!(of("nonsense").status, 0);
    }
}
