//! One of `[[budgets]]`, and where their days begin.

use tower_completions::cost::{Period, Scope};

use crate::read::{Mistakes, Section, is_price, one_of};

/// So much money for everybody, a key or a team.
#[derive(Debug)]
pub struct Budget {
    pub scope: Scope,
    pub amount: String,
    pub per: Period,
}

impl Budget {
    pub(super) fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let (key, team) = (
            section.string("key", mistakes),
            section.string("team", mistakes),
        );
        let scope = match (key, team) {
            (None, None) => Scope::Global,
            (Some(key), None) => Scope::Key(key.into()),
            (None, Some(team)) => Scope::Team(team.into()),
            (Some(_), Some(_)) => {
                mistakes.add(
                    &section.key("team"),
                    "expected either key or team, or neither",
                );
                Scope::Global
            }
        };
        let amount = section.required("amount", mistakes);
        if !amount.is_empty() && !is_price(&amount) {
            mistakes.add(
                &section.key("amount"),
                "expected a decimal such as \"5.00\"",
            );
        }
        let per = one_of(section, "per", &["day", "week", "month"], mistakes);
        if per.is_none() && !section.has("per") {
            mistakes.add(
                &section.key("per"),
                "is missing, expected day, week or month",
            );
        }
        Self {
            scope,
            amount,
            per: match per.as_deref() {
                Some("day") => Period::Day,
                Some("week") => Period::Week,
                _ => Period::Month,
            },
        }
    }
}

/// `utc_offset = "+02:00"`: where the days of budgets begin. Default: UTC.
pub(super) fn utc_offset(root: &mut Section, mistakes: &mut Mistakes) -> i32 {
    let Some(text) = root.string("utc_offset", mistakes) else {
        return 0;
    };
    let read = || {
        let east = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = text[1..].split_once(':')?;
        let number = |text: &str| (text.len() == 2).then(|| text.parse::<i32>().ok())?;
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
        fits.then_some(east * (hours * 3600 + minutes * 60))
    };
    read().unwrap_or_else(|| {
        mistakes.add(
            "utc_offset",
            format!("expected an offset such as \"+02:00\", got {text:?}"),
        );
        0
    })
}
