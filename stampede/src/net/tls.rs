//! Whom we believe to be who they say, under TLS.

use std::{fmt, io, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::ParsedCertificate,
    },
};

use super::refusal::Refusal;
use crate::Result;

/// Authorities whose certificates are believed, and a name that has to stand in them.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// For a host. The authorities are those of this system, or those of a file, if one is given.
    ///
    /// # Errors
    /// What is wrong with the file or the host, in words.
    pub(crate) fn new(host: &str, ca: Option<&Path>) -> Result<Self> {
        let bare = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| format!("{host} is no name that a certificate can have"))?;
        let mut roots = RootCertStore::empty();
        let mut known = Vec::new();
        match ca {
            Some(path) => known = of_file(path, &mut roots)?,
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(
                "this system trusts no authority (ca-certificates); say whom with --ca".into()
            );
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let usual =
            WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build()?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { usual, known }))
            .with_no_client_auth();
        // What is spoken here.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Agrees on keys, and looks at the certificate.
    ///
    /// # Errors
    /// [`Refusal::Tls`] when that fails.
    pub(crate) async fn over(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| {
            let Some(why) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
                return error;
            };
            io::Error::other(Refusal::Tls { why: words(why) })
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The certificates of a file.
fn of_file(path: &Path, roots: &mut RootCertStore) -> Result<Vec<CertificateDer<'static>>> {
    let at = path.display();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| format!("{at}: {error}"))?;
    let mut known = Vec::new();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("{at}: {error}"))?;
        roots.add(certificate.clone()).map_err(|error| format!("{at}: {error}"))?;
        known.push(certificate);
    }
    if known.is_empty() {
        return Err(format!("{at} holds no certificate").into());
    }
    Ok(known)
}

/// Believes what the authorities vouch for, and the very certificates of the file: one that vouches for itself, as people make
/// them for their own machines, is no authority's.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    known: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        if self.known.iter().any(|known| known == certificate) {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.usual.verify_server_cert(certificate, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("the certificate is not believed ({why:?})"),
        Error::AlertReceived(alert) => format!("it says {alert:?}"),
        Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, pki_types::PrivateKeyDer},
    };

    use super::*;
    use crate::net::{Sources, Target, http::Pool, refusal::label};

    /// A file of tests/. The authority's key was thrown away, and the server's is of no use elsewhere.
    fn file(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
    }

    fn acceptor() -> TlsAcceptor {
        let chain = CertificateDer::pem_file_iter(file("server.pem")).unwrap();
        let chain = chain.collect::<std::result::Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server that says the same to everybody, and how often it was spoken to under TLS.
    async fn server() -> (u16, tokio::task::JoinHandle<()>) {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = [0; 4_096];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        stream.write_all(ANSWER).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                });
            }
        });
        (port, serving)
    }

    async fn asked(url: &str, ca: Option<&Path>) -> io::Result<Vec<u8>> {
        let target = Target::parse_trusting(url, false, ca).unwrap();
        let pool = Pool::new(target, 1, std::time::Duration::from_secs(10));
        let first = pool.post(&Sources::new(0), None, b"{}").await?;
        // The connection is kept and used again.
        let second = pool.post(&Sources::new(0), None, b"{}").await?;
        assert_eq!(first.body, second.body);
        Ok(second.body)
    }

    #[tokio::test]
    async fn requests_travel_under_tls_to_who_is_believed() {
        let (port, serving) = server().await;
        let ca = file("ca.pem");
        // Its authority, or the certificate itself.
        for ca in [ca, file("server.pem")] {
            for host in ["localhost", "127.0.0.1"] {
                let url = format!("https://{host}:{port}");
                assert_eq!(asked(&url, Some(&ca)).await.unwrap(), b"{}", "{host}");
            }
        }
        serving.abort();
    }

    #[tokio::test]
    async fn who_is_not_believed_is_told_apart_from_who_is_away() {
        let (port, serving) = server().await;
        // Another authority than the one that vouches for it.
        let other = file("other-ca.pem");
        let url = format!("https://127.0.0.1:{port}");
        let error = asked(&url, Some(&other)).await.unwrap_err();
        assert_eq!(label(&error), "TLS failed");
        assert!(error.to_string().contains("certificate is not believed"), "{error}");
        serving.abort();
        // A server that speaks no TLS.
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", plain.local_addr().unwrap());
        let speaking = tokio::spawn(async move {
            let (mut stream, _) = plain.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        let ca = file("ca.pem");
        let error = asked(&url, Some(&ca)).await.unwrap_err();
        assert_eq!(label(&error), "TLS failed", "{error}");
        speaking.await.unwrap();
        // Nobody listens there any more.
        let error = asked(&url, Some(&ca)).await.unwrap_err();
        assert_eq!(label(&error), "CONNECTION refused", "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        for (name, why) in [("server.key", "holds no certificate"), ("nowhere.pem", "nowhere.pem")]
        {
            let refused = Tls::new("localhost", Some(&file(name))).unwrap_err().to_string();
            assert!(refused.contains(why), "{name}: {refused}");
        }
        assert!(Tls::new("a b", Some(&file("ca.pem"))).is_err());
    }
}
