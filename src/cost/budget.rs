mod hold;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(super) use self::hold::BudgetHold;
use super::{Amount, calendar};
use crate::{ext::Principal, zone::Zone};

/// Over what time a budget counts, by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
}

/// Whom a budget is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// A caller, by its principal's id.
    Key(Arc<str>),
    /// A team, by its name.
    Team(Arc<str>),
    /// Everybody.
    Global,
}

/// So much money for a time.
#[derive(Clone, Debug)]
struct Budget {
    scope: Scope,
    amount: Amount,
    period: Period,
}

/// Budgets beside the balances: what callers, teams and all together may spend in a day, a week or a
/// month. A request must fit into all that apply to it, and is charged to all.
///
/// Clones share the counts. They are in memory. After a restart they are filled from a ledger that
/// lasts, by [`restore`](Self::restore): what has been spent stays so.
///
/// ```
/// use tower_completions::cost::{Budgets, CostLayer, MemoryLedger, Period, Prices, Scope};
///
/// let budgets = Budgets::new()
///     .with(Scope::Key("demo".into()), "5".parse()?, Period::Day)
///     .with(Scope::Team("research".into()), "100".parse()?, Period::Month)
///     .with(Scope::Global, "1000".parse()?, Period::Month);
/// let layer = CostLayer::new(Prices::new(), MemoryLedger::new()).budgets(budgets);
/// # Ok::<(), tower_completions::cost::NotAnAmount>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Budgets {
    all: Vec<Arc<Account>>,
    by_scope: HashMap<Scope, Vec<usize>>,
    zone: Zone,
}

struct Account {
    budget: Budget,
    window: Mutex<Window>,
}

/// What was held and spent since the window began, in Unix seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    begin: i64,
    end: i64,
    held: Amount,
    spent: Amount,
}

/// How a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetStanding {
    /// Whom it is for.
    pub scope: Scope,
    /// Over what time it counts.
    pub period: Period,
    /// How much there is for that time.
    pub amount: Amount,
    /// Held for requests under way.
    pub held: Amount,
    /// Charged. More than the amount when a request used more than was held for it.
    pub spent: Amount,
    /// When the next window begins, in Unix seconds.
    pub resets: i64,
}

impl Budgets {
    /// No budgets, in UTC.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a budget. A scope may have several.
    pub fn with(mut self, scope: Scope, amount: Amount, period: Period) -> Self {
        let at = self.all.len();
        self.by_scope.entry(scope.clone()).or_default().push(at);
        let budget = Budget {
            scope,
            amount,
            period,
        };
        self.all.push(Arc::new(Account {
            budget,
            window: Mutex::default(),
        }));
        self
    }

    /// Where the days begin. Default: UTC.
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// When the windows began that a moment lies in, in Unix seconds: one for each period for which
    /// there is a budget. What has been spent since then is to be [restored](Self::restore).
    #[must_use]
    pub fn windows(&self, unix: i64) -> Vec<(Period, i64)> {
        let periods = [Period::Day, Period::Week, Period::Month];
        let used = |period: &Period| self.all.iter().any(|it| it.budget.period == *period);
        let begin = |period| (period, around(period, unix, &self.zone).0);
        periods.into_iter().filter(used).map(begin).collect()
    }

    /// Counts what a caller has spent before this process began, in the window of a moment, on its
    /// budgets of this period, its team's and everybody's included. To be called once for each
    /// account, at the start.
    ///
    #[cfg_attr(feature = "ledger-redb", doc = "```")]
    #[cfg_attr(not(feature = "ledger-redb"), doc = "```ignore")]
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use tower_completions::{Principal, cost::{Budgets, Period, RedbLedger, Scope, StoreError}};
    ///
    /// /// A day's budget goes on after a restart.
    /// fn restore(budgets: &Budgets, ledger: &RedbLedger, now: i64) -> Result<(), StoreError> {
    ///     for (period, begin) in budgets.windows(now) {
    ///         let begin = UNIX_EPOCH + Duration::from_secs(begin.unsigned_abs());
    ///         for (account, spent) in ledger.spent_since(begin)? {
    ///             budgets.restore(&Principal::new(account), period, spent, now);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn restore(&self, caller: &Principal, period: Period, spent: Amount, unix: i64) {
        let own = |account: &&Arc<Account>| account.budget.period == period;
        for account in self.of(Some(caller)).filter(own) {
            let mut window = account.at(unix, &self.zone);
            window.spent = window.spent.plus(spent);
        }
    }

    /// The budgets that apply to a caller.
    fn of<'a>(&'a self, caller: Option<&Principal>) -> impl Iterator<Item = &'a Arc<Account>> {
        let find = |scope: Scope| self.by_scope.get(&scope).into_iter().flatten();
        let key = caller.map(|caller| find(Scope::Key(caller.shared_id())));
        let team = caller.and_then(Principal::team);
        let team = team.map(|team| find(Scope::Team(team.into())));
        key.into_iter()
            .chain(team)
            .flatten()
            .chain(find(Scope::Global))
            .map(|at| &self.all[*at])
    }

    /// Whether a caller has any budget.
    pub(super) fn apply(&self, caller: Option<&Principal>) -> bool {
        !self.all.is_empty() && self.of(caller).next().is_some()
    }

    /// How the budgets of a caller stand at a moment, in Unix seconds.
    #[must_use]
    pub fn standing(&self, caller: &Principal, unix: i64) -> Vec<BudgetStanding> {
        let stand = |account: &Arc<Account>| {
            let window = *account.at(unix, &self.zone);
            BudgetStanding {
                scope: account.budget.scope.clone(),
                period: account.budget.period,
                amount: account.budget.amount,
                held: window.held,
                spent: window.spent,
                resets: window.end,
            }
        };
        self.of(Some(caller)).map(stand).collect()
    }

    /// Holds an amount in all budgets of a caller, or in none: then the one that has too little.
    pub(super) fn hold(
        &self,
        caller: Option<&Principal>,
        amount: Amount,
        unix: i64,
    ) -> Result<BudgetHold, (Scope, Period)> {
        let mut hold = BudgetHold {
            amount,
            of: Vec::new(),
        };
        if self.all.is_empty() {
            return Ok(hold);
        }
        for account in self.of(caller) {
            let mut window = account.at(unix, &self.zone);
            let taken = window.held.plus(window.spent).plus(amount);
            if taken > account.budget.amount {
                drop(window);
                // What the others held is given back as the hold is dropped.
                return Err((account.budget.scope.clone(), account.budget.period));
            }
            window.held = window.held.plus(amount);
            hold.of.push((Arc::clone(account), window.begin));
        }
        Ok(hold)
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets")
            .field("budgets", &self.all.len())
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// The window of a moment. A clock that goes back stays in the window that it was in.
    fn at(&self, unix: i64, zone: &Zone) -> MutexGuard<'_, Window> {
        let mut window = self.lock();
        if unix >= window.end {
            let (begin, end) = around(self.budget.period, unix, zone);
            *window = Window {
                begin,
                end,
                ..Window::default()
            };
        }
        window
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between which moments a period lies that has a moment in it.
fn around(period: Period, unix: i64, zone: &Zone) -> (i64, i64) {
    let day = zone.date(unix);
    let (first, next) = match period {
        Period::Day => (day, day + 1),
        Period::Week => {
            let monday = calendar::week_of(day);
            (monday, monday + 7)
        }
        Period::Month => calendar::month_around(day),
    };
    (
        zone.begin_of(first),
        zone.begin_of(next).max(unix.saturating_add(1)),
    )
}

#[cfg(test)]
mod tests;
