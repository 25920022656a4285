use super::*;
use crate::wire::{ServiceTier, Usage};

/// Usage, text, events, model and ending, as they can be compared.
type Told = (
    Option<Usage>,
    u64,
    u64,
    Option<String>,
    Option<Result<(), Kind>>,
);

fn told(tally: &Tally) -> Told {
    let outcome = tally.outcome().map(|outcome| match outcome {
        Outcome::Complete => Ok(()),
        Outcome::Failed(error) => Err(error.kind()),
    });
    let model = tally.model().map(|model| model.to_string());
    let (bytes, events) = (tally.content_bytes(), tally.events());
    (tally.usage(), bytes, events, model, outcome)
}

fn scan(mut scanner: Scanner, pieces: &[&[u8]]) -> Told {
    let tally = scanner.tally().clone();
    for piece in pieces {
        scanner.push(Bytes::copy_from_slice(piece));
    }
    scanner.end();
    told(&tally)
}

fn stream() -> Scanner {
    Scanner::stream(Tally::new(), Counting::Plain)
}

fn whole() -> Scanner {
    Scanner::whole(Tally::new(), Counting::Plain)
}

/// The same for every pair of cuts.
fn check(new: fn() -> Scanner, input: &str) -> Told {
    let input = input.as_bytes();
    let expected = scan(new(), &[input]);
    for i in 0..=input.len() {
        for j in (i..=input.len()).step_by(3) {
            let pieces = [&input[..i], &input[i..j], &input[j..]];
            assert_eq!(scan(new(), &pieces), expected, "cut at {i}, {j}");
        }
    }
    expected
}

const COMPLETE: Option<Result<(), Kind>> = Some(Ok(()));
const BROKEN: Option<Result<(), Kind>> = Some(Err(Kind::BadUpstream));

#[test]
fn a_stream_wherever_it_is_cut() {
    let begun = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\u{e9}\"}}]}\r\n\r\n";
    let called = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n";
    let finish = "data: {\"choices\":[{\"finish_reason\":\"stop\",\"delta\":{}}]}\n\n";
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    let model = Some("m".to_owned());
    let all = format!(": x\n\n{begun}{called}{finish}{usage}data: [DONE]\n\n");
    let used = Some(Usage::new(3, 2));
    assert_eq!(check(stream, &all), (used, 5, 4, model.clone(), COMPLETE));
    // Without `[DONE]` the finish says it; without that, nothing does.
    let ends = format!("{begun}{finish}{}", &usage[..usage.len() - 2]);
    assert_eq!(check(stream, &ends), (used, 3, 3, model.clone(), COMPLETE));
    let cut = format!("{begun}data: {{\"choi");
    assert_eq!(check(stream, &cut), (None, 3, 1, model.clone(), BROKEN));
    let fails = format!("{begun}data: {{\"error\":{{\"message\":\"x\"}}}}\n\n{finish}");
    let (_, bytes, _, _, outcome) = check(stream, &fails);
    assert_eq!((bytes, outcome), (3, BROKEN));
    let named = format!("{begun}event: error\ndata: {{}}\n\nevent: ping\ndata: x\n\n");
    assert_eq!(check(stream, &named), (None, 3, 1, model, BROKEN));
    assert_eq!(check(stream, "data: [DONE]\n\n").4, BROKEN);
    assert_eq!(check(stream, ": x\n\n").4, BROKEN);
    // Events of another kind have no ending that is known.
    assert_eq!(check(stream, "data: {}\n\ndata: [DONE]\n\n").4, None);
}

#[test]
fn usage_wherever_it_stands_and_text_of_all_kinds() {
    for (event, usage, bytes) in [
        (
            r#"{"choices":[{"delta":{"reasoning":"abc","reasoning_content":"abc"}}]}"#,
            None,
            3,
        ),
        (
            r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"text":"ab"}]},{"text":"c"},1],"refusal":"d"}}]}"#,
            None,
            4,
        ),
        (
            r#"{"choices":[{"delta":{"function_call":{"arguments":"ab"}}},7]}"#,
            None,
            2,
        ),
        (
            r#"{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":0}}]}"#,
            Some(Usage::new(1, 0)),
            0,
        ),
        (
            r#"{"x_groq":{"id":"a","usage":{"prompt_tokens":1,"completion_tokens":0}}}"#,
            Some(Usage::new(1, 0)),
            0,
        ),
        ("nonsense", None, 0),
    ] {
        let told = scan(stream(), &[format!("data: {event}\n\n").as_bytes()]);
        assert_eq!((told.0, told.1), (usage, bytes), "{event}");
    }
}

#[test]
fn a_whole_answer() {
    let answer = r#" {"model":"m","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2}} "#;
    let expected = (Some(Usage::new(3, 2)), 2, 1, Some("m".into()), COMPLETE);
    assert_eq!(check(whole, answer), expected);
    assert_eq!(check(whole, r#"{"error":"x"}"#).4, BROKEN);
    // What is something else has no ending of its own, and neither has what is too large.
    assert_eq!(check(whole, "{}").4, None);
    let long = vec![b' '; LARGEST];
    let told = scan(whole(), &[&long, answer.as_bytes()]);
    assert_eq!((told.0, told.4), (None, None));
}

#[test]
fn who_is_scanned() {
    let head = |kind: &str| {
        let response = http::Response::builder().header("content-type", kind);
        response.body(()).expect("a head").into_parts().0
    };
    for kind in [
        "text/event-stream; charset=utf-8",
        "text/event-stream charset=utf-8",
        "Application/JSON",
    ] {
        let mut open = head(kind);
        assert!(Scanner::of(&mut open).is_some());
        // The next layer finds the tally.
        assert!(Scanner::of(&mut open).is_none() && open.extensions.get::<Tally>().is_some());
        let mut refused = head(kind);
        refused.status = http::StatusCode::BAD_GATEWAY;
        assert!(Scanner::of(&mut refused).is_none());
        let mut packed = head(kind);
        let gzip = http::HeaderValue::from_static("gzip");
        packed.headers.insert("content-encoding", gzip);
        assert!(Scanner::of(&mut packed).is_none());
    }
    assert!(Scanner::of(&mut head("audio/mpeg")).is_none());
}

#[test]
fn speech_counts_by_its_words_and_its_length() {
    // A second of sound is twenty tokens.
    let second = "A".repeat(64_000);
    let words =
        "data: {\"choices\":[{\"delta\":{\"audio\":{\"id\":\"a\",\"transcript\":\"hello\"}}}]}\n\n";
    let sound = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"audio\":{{\"data\":\"{second}\"}}}}}}]}}\n\n"
    );
    let (_, bytes, ..) = scan(stream(), &[words.as_bytes(), sound.as_bytes()]);
    assert_eq!(bytes, 5 + 4 * 20);
    let answer =
        "{\"choices\":[{\"message\":{\"audio\":{\"data\":\"QUFB\",\"transcript\":\"hi\"}}}]}";
    assert_eq!(scan(whole(), &[answer.as_bytes()]).1, 3);
}

#[test]
fn the_tier_is_the_one_that_the_answer_names() {
    for (named, tier) in [
        ("default", Some(ServiceTier::Standard)),
        ("flex", Some(ServiceTier::Flex)),
        ("auto", None),
    ] {
        let tally = Tally::new();
        let mut scanner = Scanner::whole(tally.clone(), Counting::Plain);
        scanner.push(format!("{{\"service_tier\":\"{named}\",\"choices\":[{{}}]}}").into());
        scanner.end();
        assert_eq!(tally.service_tier(), tier, "{named}");
    }
}
