//! The order in which a request is judged.

use super::{
    contract::{Contract, Known},
    mistakes::{Findings, Refusal},
    operator,
    policy::Policy,
};
use crate::{
    dialect::Dialect,
    error::{Error, Kind},
    ext::Principal,
    parse::Chat,
};

use super::model::KnownModels;

/// Names of parameters that do not travel on as they came.
pub(super) type Names = Vec<std::borrow::Cow<'static, str>>;

/// What was done to a request that is taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) dropped: Names,
    pub(super) mapped: Names,
}

/// Judges a request, and changes what the contract of its model and the dialect ask for.
///
/// Without models nothing is known of any: none is looked up.
pub(super) fn judge(
    chat: &mut Chat,
    dialect: &Dialect,
    policy: &Policy,
    models: Option<&dyn KnownModels>,
    caller: Option<&Principal>,
) -> Result<Taken, Refusal> {
    let mut findings = Findings::new(policy.report);
    findings.faults(chat.request(), chat.original())?;
    operator::allowed(chat, policy, &mut findings)?;
    let contract = match known(chat, models, caller) {
        Ok(known) => Some(Contract::new(known)),
        // Of a request without a model that was told above.
        Err(_) if chat.request().model().is_none() => None,
        Err(error) => {
            findings.note(error)?;
            None
        }
    };
    if let Some(contract) = &contract {
        contract.judge(chat, &mut findings)?;
    }
    findings.done()?;
    let mut taken = Taken::default();
    if let Some(contract) = &contract {
        contract.apply(chat, &mut taken);
        contract.fill(chat, dialect, policy);
    }
    operator::drop_unknown(chat, policy, &mut taken.dropped);
    Ok(taken)
}

/// The same by models that are given.
#[cfg(test)]
pub(super) fn check(
    chat: &mut Chat,
    dialect: &Dialect,
    policy: &Policy,
    models: &dyn KnownModels,
    caller: Option<&Principal>,
) -> Result<Taken, Refusal> {
    judge(chat, dialect, policy, Some(models), caller)
}

/// What is known of the model, if there is such a model and the caller may use it.
fn known<'a>(
    chat: &Chat,
    models: Option<&'a dyn KnownModels>,
    caller: Option<&Principal>,
) -> Result<Option<Known<'a>>, Error> {
    let name = chat.model();
    let known = models.map(|models| Known::new(models, name));
    if known.as_ref().is_some_and(|known| !known.exists()) {
        let message = format!("The model `{}` does not exist.", shown(name));
        return Err(Error::new(Kind::NotFound, message)
            .with_param("model")
            .with_code("model_not_found"));
    }
    if let Some(caller) = caller {
        let may_use = caller.may_use(name)
            || known
                .as_ref()
                .is_some_and(|known| known.is_named(&|name| caller.may_use(name)));
        if !may_use {
            let message = format!("The key may not use the model `{}`.", shown(name));
            return Err(Error::new(Kind::Permission, message)
                .with_param("model")
                .with_code("model_not_allowed"));
        }
    }
    Ok(known)
}

fn shown(model: &str) -> String {
    model.chars().filter(|c| !c.is_control()).take(64).collect()
}
