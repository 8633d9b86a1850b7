use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Leads names to what they are told here, a further answer each time; counts how often it was asked.
fn scripted(answers: Vec<Vec<SocketAddr>>) -> (Lookup, Arc<Mutex<usize>>) {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_, _| {
        let mut asked = count.lock().expect("the count");
        let answer = answers.get(*asked).cloned().unwrap_or_default();
        *asked += 1;
        Box::pin(std::future::ready(Ok(answer)))
    });
    (lookup, asked)
}

/// A server that answers everybody with its own name, until it is dropped.
async fn server(ip: Ipv4Addr, name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or_default();
            let asked = String::from_utf8_lossy(&head[..read]).into_owned();
            let host = asked.lines().find(|line| line.to_ascii_lowercase().starts_with("host:"));
            let body = format!("{name} {}", host.unwrap_or_default());
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn fetcher(allowed: &[&str], lookup: Lookup) -> Fetcher {
    let allowed: Vec<_> = allowed.iter().map(|network| network.parse().expect("a network")).collect();
    let tls = crate::trust::client_config(None).expect("roots");
    Fetcher::with(matcher(&Proxies::default()), &tls, Guard::new(&allowed), lookup)
}

async fn get(fetcher: &Fetcher, address: &str) -> Result<String, String> {
    let mut request = Request::new(());
    *request.uri_mut() = address.parse().expect("an address");
    let mut fetch = fetcher.send(request);
    let answer = tokio::time::timeout(Duration::from_secs(20), poll_fn(|context| fetch.poll_head(context)));
    let mut body = answer.await.expect("in time")?.into_body();
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = poll_fn(|context| crate::drive::poll_data(&mut body, context)).await {
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(text).expect("UTF-8"))
}

const NOT_PUBLIC: &str = "its address is not a public one (LIBRA_FETCH_ALLOW can allow it)";

#[tokio::test]
async fn the_connection_goes_to_what_was_checked() {
    let good = server(Ipv4Addr::LOCALHOST, "good").await;
    let evil = server(Ipv4Addr::new(127, 0, 0, 2), "evil").await;
    // The name leads elsewhere as soon as it has been looked up once.
    let (lookup, asked) = scripted(vec![vec![good], vec![evil]]);
    let fetcher = fetcher(&["127.0.0.1/32"], lookup);
    let address = format!("http://rebinding.example:{}/x", good.port());
    let said = get(&fetcher, &address).await.expect("an answer");
    assert_eq!(said.to_ascii_lowercase(), format!("good host: rebinding.example:{}", good.port()));
    assert_eq!(*asked.lock().expect("the count"), 1);
    // A further request is a further connection, with a check of its own.
    assert_eq!(get(&fetcher, &address).await, Err(NOT_PUBLIC.to_owned()));
    assert_eq!(*asked.lock().expect("the count"), 2);
}

#[tokio::test]
async fn one_address_that_is_not_permitted_is_enough() {
    let good = server(Ipv4Addr::LOCALHOST, "good").await;
    let private = SocketAddr::from(([10, 0, 0, 1], good.port()));
    for answer in [vec![good, private], vec![private, good]] {
        let fetcher = fetcher(&["127.0.0.1/32"], scripted(vec![answer]).0);
        assert_eq!(
            get(&fetcher, &format!("http://a.example:{}/", good.port())).await,
            Err(NOT_PUBLIC.to_owned())
        );
    }
    let fetcher = fetcher(&["127.0.0.1/32"], scripted(vec![vec![]]).0);
    assert_eq!(get(&fetcher, "http://a.example/").await, Err("its host cannot be found".to_owned()));
}

#[tokio::test]
async fn addresses_are_checked_like_names() {
    let here = server(Ipv4Addr::LOCALHOST, "here").await;
    let none = fetcher(&[], system_lookup());
    let port = here.port();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "127.1"]
    {
        for scheme in ["http", "https"] {
            let said = get(&none, &format!("{scheme}://{host}:{port}/")).await;
            // What is no address in its usual form is a name, which leads to the same or to nowhere.
            assert!(said == Err(NOT_PUBLIC.to_owned()) || host == "127.1", "{scheme} {host}: {said:?}");
            assert!(said.is_err());
        }
    }
    let allowed = fetcher(&["127.0.0.0/8"], system_lookup());
    assert!(get(&allowed, &format!("http://127.0.0.1:{port}/")).await.is_ok());
    let other = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    assert_eq!(
        get(&allowed, &format!("http://{other}/")).await,
        Err("no connection could be made".to_owned())
    );
    assert_eq!(
        get(&none, "http://8.8.8.8:8080/").await,
        Err("only the ports 80 and 443 are fetched from".to_owned())
    );
}
