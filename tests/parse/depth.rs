//! Bodies that are nested deep.

use super::*;

#[tokio::test]
async fn nesting_is_accepted_to_128_levels() {
    for (levels, expected) in [(127, 200), (128, 400)] {
        let text = format!(
            "{{\"model\":\"m\",\"x\":{}{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        );
        let layer = ParseLayer::new();
        let response = layer
            .layer(service_fn(end))
            .oneshot(Request::new(Full::new(text)))
            .await
            .expect("infallible");
        assert_eq!(response.status(), expected, "{levels}");
        if expected == 400 {
            assert_eq!(
                response.extensions().get::<Error>().expect("kept").code(),
                Some("json_too_deep")
            );
        }
    }
}

/// Texts nested a million deep, whole and cut.
fn deep() -> Vec<String> {
    const LEVELS: usize = 1_000_000;
    let (open, close) = ("[".repeat(LEVELS), "]".repeat(LEVELS));
    let (key, end) = (r#"{"a":"#.repeat(LEVELS), "}".repeat(LEVELS));
    let mixed = r#"[{"a":"#.repeat(LEVELS / 2);
    [
        open.clone(),
        format!("{open}{close}"),
        key.clone(),
        format!("{key}1{end}"),
        mixed,
    ]
    .into_iter()
    .flat_map(|deep| {
        [
            format!(r#"{{"model":"m","x":{deep}"#),
            format!(r#"{{"model":"m","messages":{deep}"#),
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":{deep}"#),
            format!(r#"{{"tools":[{{"type":"function","function":{{"parameters":{deep}"#),
            deep,
        ]
    })
    .collect()
}

/// In a process of its own, since what overflows its stack takes the whole process with it.
#[test]
fn a_million_levels_are_refused_and_nothing_else_happens() {
    const CHILD: &str = "TOWER_COMPLETIONS_DEEP";
    if std::env::var_os(CHILD).is_some() {
        // Less stack than any runtime gives its threads.
        let thread = std::thread::Builder::new().stack_size(128 << 10);
        let run = || {
            for text in deep() {
                let error = Chat::parse(Bytes::from(text)).expect_err("too deep");
                assert_eq!(error.code(), Some("json_too_deep"));
            }
        };
        thread
            .spawn(run)
            .expect("a thread")
            .join()
            .expect("no panic");
        println!("all refused");
        return;
    }
    let out = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "--nocapture",
            "depth::a_million_levels_are_refused_and_nothing_else_happens",
        ])
        .env(CHILD, "1")
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && told.contains("all refused"),
        "{out:?}"
    );
}
