use crate::cost::{Amount, MemoryLedger, Mismatch, Statement};

/// Asserts that an account's money is conserved and that no request is under way any more: what was
/// granted is what is left and what was spent, nothing is held, nothing is below zero, and the
/// entries, counted anew, say so too. Gives the statement back.
///
/// For the ledgers that keep their books elsewhere; [`assert_settled`] asks a [`MemoryLedger`] itself.
///
/// # Panics
/// When any of it does not hold.
#[track_caller]
pub fn assert_conserved(end: Statement, mismatches: &[Mismatch]) -> Statement {
    assert_eq!(mismatches, [], "the entries add up to the accounts");
    assert_eq!(end.held, Amount::ZERO, "every hold has ended: {end:?}");
    assert!(
        end.spent >= Amount::ZERO && end.overrun >= Amount::ZERO,
        "nothing is charged below zero: {end:?}"
    );
    if let (Some(granted), Some(available)) = (end.granted, end.balance()) {
        assert_eq!(
            granted,
            available.plus(end.held).plus(end.spent),
            "granted is what is left and what was spent: {end:?}"
        );
        assert!(available >= Amount::ZERO, "never below zero: {end:?}");
    }
    end
}

/// Asserts of an account in memory that its money is conserved and every hold has ended, whatever
/// ended the requests. Gives its statement.
///
/// ```
/// use http_body_util::BodyExt;
/// use tower::ServiceExt;
/// use tower_completions::{
///     Principal, auth::Keys, body::Full, cost::{MemoryLedger, Price, Prices},
///     mock::{Fault, Script, Upstream, assert_settled},
///     provider::{Provider, openai::OpenAi}, stack::Gateway,
/// };
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::new();
/// keys.insert("sk-demo", Principal::new("demo"));
/// let ledger = MemoryLedger::new();
/// ledger.grant("demo", "1".parse()?);
/// let cut = Upstream::new().with_default(Script::text("one two three").with_fault(2, Fault::Cut));
/// let gateway = Gateway::builder(keys)
///     .cost(Prices::new().with("m", Price::new("1", "2")?), ledger.clone())
///     .build(Provider::new("mock", cut, OpenAi::new("http://upstream/v1")?));
///
/// let ask = http::Request::post("/v1/chat/completions")
///     .header("authorization", "Bearer sk-demo")
///     .body(Full::new(r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#))?;
/// let _ = gateway.oneshot(ask).await?.into_body().collect().await;
///
/// let books = assert_settled(&ledger, "demo");
/// assert!(books.spent > "0".parse()?, "what had been said is charged");
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// When money is lost, made or still held.
#[track_caller]
pub fn assert_settled(ledger: &MemoryLedger, account: &str) -> Statement {
    assert_conserved(ledger.statement(account), &ledger.reconcile())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(granted: i128, held: i128, spent: i128) -> Statement {
        let pico = Amount::from_pico;
        Statement {
            granted: Some(pico(granted)),
            held: pico(held),
            spent: pico(spent),
            overrun: Amount::ZERO,
        }
    }

    #[test]
    fn what_adds_up_passes() {
        assert_conserved(statement(5, 0, 3), &[]);
    }

    #[test]
    #[should_panic(expected = "every hold has ended")]
    fn a_hold_left_open_is_found() {
        assert_conserved(statement(5, 1, 3), &[]);
    }

    #[test]
    #[should_panic(expected = "never below zero")]
    fn money_that_was_not_there_is_found() {
        assert_conserved(statement(5, 0, 6), &[]);
    }
}
