//! An upstream's own `cost`, where ours may stand.

use super::*;

/// Texts with a `cost` of the upstream's, at their top level in every place, and what stays of them.
const TEXTS: [(&str, &str); 7] = [
    (r#"{"cost":1,"cost":2 , "\u0063ost":3, "id""#, r#"{"id""#),
    (r#""created":1 ,"cost":2"#, r#""created":1"#),
    (r#"{"cost":1.5,"id""#, r#"{"id""#),
    (r#""created":1,"cost":{"amount":9}"#, r#""created":1"#),
    (r#""model":"asked" , "cost" : "9" "#, r#""model":"asked" "#),
    (r#""model":"asked","cost":null"#, r#""model":"asked""#),
    (
        r#""model":"asked","\u0063ost":1,"cost":2"#,
        r#""model":"asked""#,
    ),
];

/// The same text with what an upstream says of its cost put in, as each of the texts has it.
fn with_costs(text: &str) -> impl Iterator<Item = String> + use<'_> {
    TEXTS.into_iter().map(move |(with, without)| {
        assert!(text.contains(without.trim_end()), "{text}");
        text.replace(without.trim_end(), with)
    })
}

async fn told(dialect: Dialect, asked: &str, kind: &str, sent: &str) -> String {
    let steps = vec![step(sent)];
    let (answer, _) = answer(&ReframeLayer::new(dialect).convert(), asked, kind, steps).await;
    let text = frames(answer).await.concat();
    // The ids of the dialect are ours, and differ.
    match text.split_once("\"req_") {
        Some((_, rest)) => {
            let id = rest.split('"').next().expect("one piece");
            text.replace(&format!("req_{id}"), "c")
        }
        None => text,
    }
}

#[tokio::test]
async fn it_does_not_go_out_where_a_cost_at_the_top_level_is_ours() {
    const JSON: &str = "application/json";
    let inner = r#""usage":{"cost":1,"prompt_tokens":1,"#;
    let whole = WHOLE.replace(r#""usage":{"prompt_tokens":1,"#, inner);
    let word = FIRST.replace(r#""role":"assistant","#, "");
    let stream = [FIRST, &word, &word, LAST].concat();
    for (kind, text) in [(JSON, whole), (SSE, stream)] {
        for asked in [
            "",
            STREAM,
            r#","stream":true,"stream_options":{"include_usage":true}"#,
        ] {
            let wanted = told(Dialect::onysoft(), asked, kind, &text).await;
            for sent in with_costs(&text) {
                let made = told(Dialect::onysoft(), asked, kind, &sent).await;
                let (made, wanted) = (made.replace(' ', ""), wanted.replace(' ', ""));
                assert_eq!(made, wanted, "{sent}");
            }
        }
    }
}

#[tokio::test]
async fn it_passes_as_it_came_in_other_dialects() {
    for dialect in [Dialect::openai(), Dialect::strict(), Dialect::osiris()] {
        for sent in with_costs(WHOLE) {
            assert_eq!(
                told(dialect.clone(), "", "application/json", &sent).await,
                sent
            );
        }
        for sent in with_costs(&[FIRST, FIRST, LAST].concat()) {
            assert_eq!(told(dialect.clone(), STREAM, SSE, &sent).await, sent);
        }
    }
}
