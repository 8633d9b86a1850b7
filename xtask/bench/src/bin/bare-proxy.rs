//! The yardstick: the least that an HTTP proxy made with hyper does. It takes a request, changes where it goes, and
//! lets both bodies through as they come. What libra costs more than this is what libra adds.
//!
//! Usage: `bare-proxy --upstream http://HOST:PORT`

#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, hyper::Error>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some("--upstream"), Some(upstream)) = (arguments.next().as_deref(), arguments.next()) else {
        return Err("usage: bare-proxy --upstream http://HOST:PORT".into());
    };
    let upstream = upstream.parse::<Uri>()?.into_parts().authority.ok_or("the upstream has no host")?;
    // As libra has it on the one core that it is given.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(serve(upstream))
}

async fn serve(upstream: Authority) -> Result<(), Box<dyn Error>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), upstream.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(client.clone(), upstream.clone(), request));
            // A client that leaves is no error here.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    let sent = match Uri::from_parts(parts) {
        Ok(uri) => {
            *request.uri_mut() = uri;
            // The connection to the upstream is kept whatever the client speaks.
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(CONNECTION);
            client.request(request).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(match sent {
        Ok(mut answer) => {
            answer.headers_mut().remove(CONNECTION);
            answer.map(BodyExt::boxed)
        }
        Err(error) => failed(error),
    })
}

fn failed(why: String) -> Response<Body> {
    let mut answer = Response::new(Full::from(why).map_err(|never| match never {}).boxed());
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    answer
}
