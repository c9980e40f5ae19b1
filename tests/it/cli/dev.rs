//! `./dev run` with an address that it cannot use: it says so before it builds anything.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use tokio::net::TcpListener;

/// What it says on standard error; it must not go on.
fn refused(listen: &str) -> String {
    let output = Command::new("bash")
        .args(["dev", "run"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .env("FRONTROW_LISTEN", listen)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{listen}: {told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{listen}: {told}");
    assert!(told.starts_with("./dev: ") && !told.contains("line "), "{listen}: {told}");
    told
}

#[test]
fn an_odd_address_is_said_in_a_sentence() {
    for (listen, part) in [
        ("localhost", "has no port"),
        ("8000", "has no port"),
        ("127.0.0.1:", "'' is no port"),
        ("127.0.0.1:http", "'http' is no port"),
        ("127.0.0.1:80a0", "'80a0' is no port"),
        ("127.0.0.1:-1", "'-1' is no port"),
        ("127.0.0.1:999999", "'999999' is no port"),
        ("127.0.0.1:70000", "from 1 to 65535"),
        ("127.0.0.1:0", "from 1 to 65535"),
        ("localhost:8000", "'localhost' is no address"),
        ("shop.example:8000", "'shop.example' is no address"),
        (":8000", "'' is no address"),
        ("http://127.0.0.1:8000", "more than an address and a port"),
        ("::1:8000", "FRONTROW_LISTEN=[::1]:8000"),
        ("127.0.0.1:8000:8001", "in brackets"),
    ] {
        let told = refused(listen);
        assert!(told.contains(part) && told.contains("FRONTROW_LISTEN"), "{listen}: {told}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // A machine may have no IPv6.
        let Ok(taken) = TcpListener::bind(address).await else { continue };
        let address = taken.local_addr().unwrap();
        let told = refused(&address.to_string());
        assert!(told.contains(&format!("Another program has port {}", address.port())), "{told}");
    }
}
