//! OpenAI to a provider and back keeps the meaning: requests are translated and read back by a small
//! reader of the provider's own API that knows nothing of the translation; answers the other way.

#[path = "round_trip/answers.rs"]
mod answers;
#[path = "round_trip/case.rs"]
mod case;
#[path = "round_trip/read.rs"]
mod read;

use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::Value;
use tower_completions::{
    Target,
    parse::Chat,
    provider::{
        Notes, Translate, anthropic::Anthropic, bedrock::Bedrock, cohere::Cohere, gemini::Gemini,
        ollama::Ollama,
    },
};

use case::{Case, Choice, Meaning, Media, Thinker};

/// The body that goes to a provider; nothing may be lost on the way.
fn sent<T: Translate>(translate: &T, model: &str, case: &Case) -> Value {
    let chat = Chat::parse(case.request().to_string().into()).expect("a request");
    let mut notes = Notes::default();
    let request = translate
        .request(&chat, &Target::new("p", model), &mut notes)
        .expect("translated");
    assert!(notes.dropped().is_empty(), "{notes:?}");
    assert!(notes.mapped().is_empty(), "{notes:?}");
    let body = tokio_test::block_on(request.into_body().collect()).expect("whole");
    serde_json::from_slice(&body.to_bytes()).expect("JSON")
}

fn kept<T: Translate>(
    translate: &T,
    model: &str,
    case: &Case,
    read: fn(&Value) -> Meaning,
) -> Result<(), TestCaseError> {
    let body = sent(translate, model, case);
    prop_assert_eq!(read(&body), case.meaning(), "{}", body);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn anthropic(case in case::requests(&[Media::Image, Media::File], Thinker::Claude)) {
        let translate = Anthropic::new("http://host").expect("a URL");
        kept(&translate, "claude-sonnet-4-5", &case, read::anthropic)?;
    }

    #[test]
    fn gemini(mut case in case::requests(&[Media::Image, Media::File, Media::Audio], Thinker::Gemini)) {
        // It takes one of both.
        if !case.tools.is_empty() {
            case.schema = None;
        }
        let translate = Gemini::new("http://host").expect("a URL");
        kept(&translate, "gemini-2.5-pro", &case, read::gemini)?;
    }

    #[test]
    fn bedrock(case in case::requests(&[Media::Image, Media::File, Media::Audio], Thinker::Claude)) {
        let translate = Bedrock::new("http://host").expect("a URL");
        kept(&translate, "anthropic.claude-sonnet-4-5-v1:0", &case, read::bedrock)?;
    }

    #[test]
    fn cohere(case in case::requests(&[Media::Image], Thinker::Nobody)) {
        let translate = Cohere::new("http://host").expect("a URL");
        kept(&translate, "command-a-03-2025", &case, read::cohere)?;
    }

    #[test]
    fn ollama(mut case in case::requests(&[Media::Image], Thinker::Plain)) {
        // The server cannot be told to call anything.
        if !matches!(case.choice, Choice::None) {
            case.choice = Choice::Auto;
        }
        let translate = Ollama::new("http://host").expect("a URL");
        kept(&translate, "llama3.2", &case, read::ollama)?;
    }
}
