//! Connections over real sockets, with certificates made for the test.

mod authority;

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use signalbox_transport::{Bounds, Error, Incoming, ServerTls, ServerTlsConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected as _;

use authority::Authority;

/// How long anything here may take.
const LONG: Duration = Duration::from_secs(20);

/// Serves an echo on a free port.
async fn echo(config: &ServerTlsConfig) -> (SocketAddr, ServerTls) {
    let tls = ServerTls::load(config, &["h2"]).expect("the files are good").expect("there is a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a listening socket has an address");
    let bounds = Bounds { connections_max: 1000, stranger_timeout: LONG };
    let mut incoming = Incoming::new(listener, Some(tls.clone()), bounds);
    tokio::spawn(async move {
        while let Some(Ok(stream)) = incoming.next().await {
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    (address, tls)
}

#[tokio::test]
async fn what_is_sent_is_encrypted_and_a_dawdler_holds_up_nobody() {
    let authority = Authority::new();
    let (address, _) = echo(&authority.server_config("localhost")).await;
    let _dawdler = TcpStream::connect(address).await.unwrap();
    let mut garbler = TcpStream::connect(address).await.unwrap();
    garbler.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut client = authority.connect(address, None).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    timeout(LONG, client.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"hello");
    let mut rest = Vec::new();
    let _ = timeout(LONG, garbler.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.windows(4).any(|part| part == b"HTTP"), "nothing is answered in plaintext");
}

#[tokio::test]
async fn whoever_stays_astranger_is_cut_off_and_leaves_its_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a listening socket has an address");
    let bounds = Bounds { connections_max: 2, stranger_timeout: Duration::from_millis(300) };
    let mut incoming = Incoming::new(listener, None, bounds);
    let mut known = TcpStream::connect(address).await.unwrap();
    let mut on_known = incoming.next().await.unwrap().unwrap();
    on_known.connect_info().mark_known();
    let stranger = TcpStream::connect(address).await.unwrap();
    let mut onstranger = incoming.next().await.unwrap().unwrap();
    assert_eq!(onstranger.connect_info().address(), Some(stranger.local_addr().unwrap()));

    let mut too_many = TcpStream::connect(address).await.unwrap();
    assert_eq!(
        timeout(LONG, too_many.read_u8()).await.unwrap().unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    let cut_off = timeout(LONG, onstranger.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(cut_off.kind(), ErrorKind::TimedOut);
    drop(onstranger);
    let mut next = TcpStream::connect(address).await.unwrap();
    let _on_next = timeout(LONG, incoming.next()).await.unwrap().unwrap().unwrap();
    next.write_all(b"x").await.unwrap();

    known.write_all(b"y").await.unwrap();
    assert_eq!(timeout(LONG, on_known.read_u8()).await.unwrap().unwrap(), b'y', "whoever is known stays");
}

#[tokio::test]
async fn a_changed_certificate_is_used_for_new_connections() {
    let authority = Authority::new();
    let config = authority.server_config("localhost");
    let (address, tls) = echo(&config).await;
    let stop = CancellationToken::new();
    let reloading = tokio::spawn(tls.reload(stop.clone()));
    let mut old = authority.connect(address, None).await.unwrap();
    let before = authority::certificate_of(&old);

    std::fs::write(config.tls_cert.as_ref().unwrap(), "no certificate").unwrap();
    authority.renew("localhost");
    let renewed = async {
        loop {
            // Nothing tells when the files were read again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let client = authority.connect(address, None).await.unwrap();
            if authority::certificate_of(&client) != before {
                break;
            }
        }
    };
    timeout(LONG, renewed).await.expect("the new certificate is used");
    old.write_all(b"still").await.unwrap();
    let mut answer = [0; 5];
    timeout(LONG, old.read_exact(&mut answer)).await.unwrap().unwrap();
    stop.cancel();
    reloading.await.unwrap();
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_asked_for_is_refused() {
    let authority = Authority::new();
    let mut config = authority.server_config("localhost");
    config.tls_client_ca = Some(authority.path());
    let (address, _) = echo(&config).await;
    let refused = async {
        let mut client = authority.connect(address, None).await?;
        client.write_all(b"hello").await?;
        client.read_exact(&mut [0; 5]).await
    };
    assert!(timeout(LONG, refused).await.unwrap().is_err());
    let mut client = authority.connect(address, Some("agent-1")).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    timeout(LONG, client.read_exact(&mut [0; 5])).await.unwrap().unwrap();
}

#[test]
fn plaintext_stays_on_the_machine_unless_it_is_allowed() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 8080));
    let config = ServerTlsConfig::default();
    assert!(config.check_exposure(SocketAddr::from(([127, 0, 0, 1], 8080))).is_ok());
    assert!(matches!(config.check_exposure(everywhere), Err(Error::Exposed(_))));
    assert!(ServerTlsConfig { allow_plaintext: true, ..config }.check_exposure(everywhere).is_ok());
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let authority = Authority::new();
    let good = authority.server_config("localhost");
    let load = |config: &ServerTlsConfig| match ServerTls::load(config, &[]) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("expected an error"),
    };
    let missing = ServerTlsConfig { tls_cert: Some("/nowhere/cert.pem".into()), ..good.clone() };
    assert_eq!(load(&missing), "cannot read certificates from /nowhere/cert.pem");
    let swapped = ServerTlsConfig { tls_key: good.tls_cert.clone(), ..good };
    assert!(load(&swapped).starts_with("cannot read a private key from "), "{}", load(&swapped));
}
