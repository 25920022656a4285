use crate::error::Class;

/// What to try after an attempt has failed. Each falls back on the next one in this list when it
/// has nothing to offer, down to giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Next {
    /// The same target once more, after a pause.
    SameTarget,
    /// The same target with another of our keys.
    OtherKey,
    /// Another target of the same model.
    OtherTarget,
    /// A fallback model.
    OtherModel,
    /// Nothing: the failure is the answer.
    GiveUp,
}

/// What a failure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// Nobody here: it is the caller's.
    Nobody,
    /// The key that was used, which is not used again until it has rested.
    Key,
    /// The target: its breaker and its load score.
    Target,
}

/// The row of one failure class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) next: Next,
    pub(crate) blame: Blame,
    /// Whether asking the same target again later may help.
    pub(crate) passes: bool,
    /// Whether another attempt adds load where there may be too much of it: it then needs the
    /// retry budget's leave.
    pub(crate) budgeted: bool,
}

/// The failure table: what each class of failure leads to.
///
/// | class | next | held against |
/// |---|---|---|
/// | credential, quota | other key | the key |
/// | a model's quota | other key | the key, for this target |
/// | rate limit | other key | the key, which rests as long as it says, or else for a guess: a second, and longer while it goes on |
/// | forbidden | one other key | nobody, or the key that is refused again and again what another may |
/// | model gone, region, too large for the account | other target | nobody |
/// | overload, transient | other target, then the same one after a pause | the target |
/// | context length | other model | nobody |
/// | content policy, the caller's fault | give up | nobody |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Policy([Next; 13]);

impl Default for Policy {
    fn default() -> Self {
        let mut policy = Self([Next::GiveUp; 13]);
        for class in [
            Class::Credential,
            Class::Quota,
            Class::ModelQuota,
            Class::RateLimit,
            Class::Forbidden,
        ] {
            policy = policy.on(class, Next::OtherKey);
        }
        for class in [
            Class::ModelGone,
            Class::Region,
            Class::Overload,
            Class::Transient,
            Class::TooLarge,
        ] {
            policy = policy.on(class, Next::OtherTarget);
        }
        policy.on(Class::ContextLength, Next::OtherModel)
    }
}

impl Policy {
    /// Changes what a class of failure leads to. The caller's own mistakes are never retried,
    /// whatever is said here of [`Class::Caller`].
    pub fn on(mut self, class: Class, next: Next) -> Self {
        if class != Class::Caller {
            self.0[index(class)] = next;
        }
        self
    }

    pub(crate) fn row(&self, class: Class) -> Row {
        let (blame, passes, budgeted) = match class {
            Class::Credential | Class::Quota | Class::ModelQuota => (Blame::Key, false, false),
            Class::RateLimit => (Blame::Key, true, true),
            Class::Overload | Class::Transient => (Blame::Target, true, true),
            _ => (Blame::Nobody, false, false),
        };
        Row {
            next: self.0[index(class)],
            blame,
            passes,
            budgeted,
        }
    }
}

const fn index(class: Class) -> usize {
    match class {
        Class::Credential => 0,
        Class::Quota => 1,
        Class::ModelGone => 2,
        Class::Region => 3,
        Class::RateLimit => 4,
        Class::Overload => 5,
        Class::Transient => 6,
        Class::Caller => 7,
        Class::ContentPolicy => 8,
        Class::ContextLength => 9,
        Class::Forbidden => 10,
        Class::TooLarge => 11,
        Class::ModelQuota => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let policy = Policy::default();
        for (class, next, blame) in [
            (Class::Credential, Next::OtherKey, Blame::Key),
            (Class::Quota, Next::OtherKey, Blame::Key),
            (Class::ModelQuota, Next::OtherKey, Blame::Key),
            (Class::RateLimit, Next::OtherKey, Blame::Key),
            (Class::ModelGone, Next::OtherTarget, Blame::Nobody),
            (Class::Region, Next::OtherTarget, Blame::Nobody),
            (Class::Forbidden, Next::OtherKey, Blame::Nobody),
            (Class::Overload, Next::OtherTarget, Blame::Target),
            (Class::Transient, Next::OtherTarget, Blame::Target),
            (Class::ContextLength, Next::OtherModel, Blame::Nobody),
            (Class::TooLarge, Next::OtherTarget, Blame::Nobody),
            (Class::ContentPolicy, Next::GiveUp, Blame::Nobody),
            (Class::Caller, Next::GiveUp, Blame::Nobody),
        ] {
            let row = policy.row(class);
            assert_eq!((row.next, row.blame), (next, blame), "{class:?}");
        }
    }

    #[test]
    fn the_callers_mistakes_stay_with_the_caller() {
        let policy = Policy::default().on(Class::Caller, Next::OtherTarget);
        assert_eq!(policy.row(Class::Caller).next, Next::GiveUp);
    }
}
