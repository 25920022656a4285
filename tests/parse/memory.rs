//! How much memory a body takes.

use super::*;

/// Pieces of one size, each made when it is asked for; how many bytes there will be is said or not.
struct Pieces {
    left: usize,
    size: usize,
    told: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = self.left.min(self.size);
        self.left -= size;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; size])))))
    }
    fn size_hint(&self) -> http_body::SizeHint {
        if self.told {
            http_body::SizeHint::with_exact(self.left as u64)
        } else {
            http_body::SizeHint::default()
        }
    }
}

/// The most bytes that reading a body of pieces takes at once, the piece at hand among them.
fn peak(body: Pieces, limit: usize) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let layer = ParseLayer::new().limits(ReadLimits::default().max_bytes(limit));
    let mut service = Some((layer.layer(service_fn(end)), Request::new(body)));
    let mut status = 0;
    let used = allocation_counter::measure(|| {
        let (service, request) = service.take().expect("run once");
        let response = runtime
            .block_on(service.oneshot(request))
            .expect("infallible");
        status = response.status().as_u16();
    });
    // Blanks alone are no request: all of it was read.
    assert!(status == 400 || status == 413, "{status}");
    used.bytes_max
}

#[test]
fn collecting_takes_the_limit_and_64_kib_at_most() {
    const LIMIT: usize = 1 << 20;
    for told in [true, false] {
        for left in [
            1000,
            65_536,
            65_537,
            100_000,
            LIMIT / 2,
            LIMIT - 1,
            LIMIT,
            LIMIT + 1,
            2 * LIMIT,
        ] {
            for size in [100, 4096, 16_384] {
                let most = peak(Pieces { left, size, told }, LIMIT);
                // Beside the pieces at hand, which are the transport's, and the futures themselves.
                let bound = LIMIT + 65_536 + 2 * size + 4096;
                assert!(
                    most <= bound as u64,
                    "{left} by {size}: {most}, not {bound}"
                );
            }
        }
    }
    // A size that is told is all that is taken.
    let most = peak(
        Pieces {
            left: 100_000,
            size: 1000,
            told: true,
        },
        LIMIT,
    );
    assert!(most < 100_000 + 65_536 + 8192, "{most}");
}

#[tokio::test]
async fn an_image_of_5_mb_is_parsed_without_a_copy_of_it() {
    let image = "iVBORw0KGgoAAAANSUhEUg".repeat(5_000_000 / 22);
    let text = Bytes::from(format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
    ));
    let mut chat = None;
    let used =
        allocation_counter::measure(|| chat = Some(Chat::parse(text.clone()).expect("readable")));
    assert!(used.bytes_total < 4096, "{}", used.bytes_total);
    let chat = chat.expect("parsed");
    assert_eq!(chat.bytes().as_ptr(), text.as_ptr());
    let message = chat.messages().next().expect("a message");
    let Content::Parts(mut parts) = message.content else {
        panic!("no parts")
    };
    let Some(Part::Image(url)) = parts.next() else {
        panic!("no image")
    };
    let address = url.raw().as_ptr() as usize - text.as_ptr() as usize;
    assert_eq!(&text[address..][..10], b"data:image");
}
