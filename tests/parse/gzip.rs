//! Bodies that are compressed.

use std::io::Write;

use tower_completions::parse::Decode;

use super::*;

fn pack(text: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("into memory");
    encoder.finish().expect("into memory").into()
}

async fn send(encodings: &[&str], body: Bytes) -> Response<Full> {
    let limits = ReadLimits::default().max_bytes(1000).decode(Decode::Gzip);
    let mut request = Request::builder().header("content-length", body.len());
    for encoding in encodings {
        request = request.header("content-encoding", *encoding);
    }
    let inside = service_fn(async |request: Request<ChatBody>| {
        assert!(
            !request.headers().contains_key("content-encoding")
                || request.headers()["content-encoding"] == "identity"
        );
        end(request).await
    });
    let service = ParseLayer::new().limits(limits).layer(inside);
    let request = request.body(Full::new(body)).expect("a request");
    let response = service.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("read").to_bytes();
    Response::from_parts(parts, Full::new(body))
}

#[tokio::test]
async fn a_compressed_body_is_read_where_that_is_switched_on() {
    for encoding in ["gzip", "GZIP", "x-gzip"] {
        let response = send(&[encoding], pack(TEXT.as_bytes())).await;
        assert_eq!(response.status(), 200, "{encoding}");
        assert_eq!(response.body().remaining(), TEXT.as_bytes());
    }
    assert_eq!(send(&[], TEXT.into()).await.status(), 200);
    assert_eq!(send(&["identity"], TEXT.into()).await.status(), 200);
    assert_eq!(
        send(&["gzip", "identity"], pack(TEXT.as_bytes()))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn what_cannot_be_decoded_is_refused() {
    let packed = pack(TEXT.as_bytes());
    for (encodings, body, status) in [
        (&["gzip, gzip"][..], packed.clone(), 415),
        (&["gzip", "gzip"], packed.clone(), 415),
        (&["br"], packed.clone(), 415),
        (&["deflate"], packed.clone(), 415),
        (&["gzip"], TEXT.into(), 400),
        (&["gzip"], packed.slice(..packed.len() - 1), 400),
        (&["gzip"], Bytes::new(), 400),
        (&[], packed.clone(), 400),
        (&["gzip"], pack(&[b' '; 1_000_000]), 413),
        (&["gzip"], pack(b"{"), 400),
    ] {
        let response = send(encodings, body).await;
        assert_eq!(response.status(), status, "{encodings:?}");
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_a_body_of_the_limit() {
    const LIMIT: usize = 1 << 20;
    let bomb = pack(&vec![b' '; 100 << 20]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let limits = ReadLimits::default().max_bytes(LIMIT).decode(Decode::Gzip);
    let service = ParseLayer::new().limits(limits).layer(service_fn(end));
    let request = Request::builder()
        .header("content-encoding", "gzip")
        .body(Full::new(bomb))
        .expect("a request");
    let mut run = Some((service, request));
    let used = allocation_counter::measure(|| {
        let (service, request) = run.take().expect("run once");
        let response = runtime
            .block_on(service.oneshot(request))
            .expect("infallible");
        assert_eq!(response.status(), 413);
    });
    assert!(
        used.bytes_max < (LIMIT + 65_536 + 100_000) as u64,
        "{}",
        used.bytes_max
    );
}
