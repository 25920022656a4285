//! The floor: a reverse proxy that forwards bytes on pooled connections and does nothing else.

use std::{net::SocketAddr, sync::Arc};

use http::{Request, Uri};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

pub(crate) async fn serve(upstream: SocketAddr) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    let uri: Arc<Uri> = Arc::new(
        format!("http://{upstream}/v1/chat/completions")
            .parse()
            .expect("a URI"),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("bound")
    );
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).expect("nodelay");
        let (client, uri) = (client.clone(), Arc::clone(&uri));
        tokio::spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                *request.uri_mut() = (*uri).clone();
                client.request(request)
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
