//! An address for the metrics alone, for whoever can reach it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use libra_core::gateway::Gateway;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::page;
use crate::body::AnswerBody;
use crate::patient::Patient;
use crate::serve::HEAD_TIMEOUT;

/// So many ask for the metrics at once, who are a few programs.
const CONNECTIONS: usize = 64;

/// Serves the metrics for as long as the process lives.
pub(crate) async fn serve(listener: TcpListener, gateway: Arc<Gateway>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).keep_alive(false);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let gateway = Arc::clone(&gateway);
        let service = service_fn(move |request: Request<Incoming>| {
            let gateway = Arc::clone(&gateway);
            async move {
                let (head, _) = request.into_parts();
                let answer = page::answer_openly(&head, &gateway).await;
                Ok::<_, Infallible>(answer.map(AnswerBody::whole))
            }
        });
        let stream = TokioIo::new(Patient::new(stream, HEAD_TIMEOUT));
        let connection = http.serve_connection(stream, service);
        tokio::spawn(async move {
            let _ = connection.await;
            drop(place);
        });
    }
}
