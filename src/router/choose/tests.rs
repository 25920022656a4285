use super::*;
use crate::router::ask::Sticky;

fn candidates(weights: &[u32]) -> Vec<Candidate> {
    let one = |(at, weight): (usize, &u32)| Candidate::new("p", format!("m{at}")).weight(*weight);
    weights.iter().enumerate().map(one).collect()
}

fn choice(balance: Balance, random: u64) -> Choice<'static> {
    static RULES: std::sync::OnceLock<(Breaking, Needs)> = std::sync::OnceLock::new();
    let (breaking, needs) = RULES.get_or_init(Default::default);
    Choice {
        balance,
        random: mix(random.wrapping_add(1)),
        now: 0,
        needs,
        affinity: Some(mix(random.wrapping_mul(77))),
        breaking,
    }
}

const BALANCES: [Balance; 5] = [
    Balance::Weighted,
    Balance::LeastLoad,
    Balance::Cheapest,
    Balance::Fastest,
    Balance::Sticky(Sticky::Key),
];

fn shares(balance: Balance, all: &[Candidate], can: impl Fn(usize) -> bool) -> Vec<u32> {
    let tier = &Tier::of(all, balance)[0];
    let mut shares = vec![0; all.len()];
    for random in 0..10_000 {
        let can = |at: usize| can(at).then_some(Can::Yes(None));
        let (at, _) = choice(balance, random).choose(all, tier, can).expect("one");
        shares[at] += 1;
    }
    shares
}

#[test]
fn weights_are_shares() {
    let all = candidates(&[1, 3, 0, 6]);
    for balance in [Balance::Weighted, Balance::Sticky(Sticky::Key)] {
        let shares = shares(balance, &all, |_| true);
        for (share, want) in shares.iter().zip([1_000, 3_000, 0, 6_000]) {
            assert!(share.abs_diff(want) < 300, "{balance:?} {shares:?}");
        }
    }
}

#[test]
fn the_only_one_that_can_is_found() {
    let all = candidates(&[1; 40]);
    for balance in BALANCES {
        assert_eq!(shares(balance, &all, |at| at == 17)[17], 10_000);
    }
    let zero = candidates(&[0, 0]);
    assert_eq!(shares(Balance::Weighted, &zero, |at| at == 1)[1], 10_000);
}

#[test]
fn of_two_the_less_loaded() {
    let all = candidates(&[1; 4]);
    for (at, one) in all.iter().enumerate() {
        one.state.took(if at == 2 { 1_000 } else { 50_000 }, 0);
    }
    let shares = shares(Balance::LeastLoad, &all, |_| true);
    // Two of four are different ones but for one case in 64, and it is among them in every other.
    assert!(shares[2].abs_diff(4_960) < 300, "{shares:?}");
}

#[test]
fn of_two_the_loaded_one_is_never_drawn_alone() {
    for weights in [[1, 1], [9, 1], [1, 9]] {
        let all = candidates(&weights);
        all[0].state.took(90_000, 0);
        all[1].state.took(1, 0);
        assert_eq!(
            shares(Balance::LeastLoad, &all, |_| true),
            [0, 10_000],
            "{weights:?}"
        );
    }
}

#[test]
fn the_cheapest_for_this_request_and_of_equal_ones_the_less_loaded() {
    let all = vec![
        Candidate::new("p", "in").price(10, 1_000),
        Candidate::new("p", "out").price(100, 100),
        Candidate::new("p", "unknown"),
        Candidate::new("p", "out2").price(100, 100),
    ];
    let tier = &Tier::of(&all, Balance::Cheapest)[0];
    all[1].state.took(9, 0);
    let chosen = |input_tokens, output_tokens| {
        let mut choice = choice(Balance::Cheapest, 0);
        let needs = Needs {
            input_tokens,
            output_tokens,
            ..Needs::default()
        };
        choice.needs = &needs;
        let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
        found.expect("one").0
    };
    assert_eq!((chosen(1_000, 10), chosen(10, 1_000)), (0, 3));
}

#[test]
fn the_next_cheapest_when_those_before_it_cannot() {
    let prices = [5, 3, 9, 3, 1, 7].map(|price| {
        let name = format!("m{price}");
        Candidate::new("p", name).price(price, price)
    });
    let tier = &Tier::of(&prices, Balance::Cheapest)[0];
    let mut choice = choice(Balance::Cheapest, 0);
    let needs = Needs {
        input_tokens: 10,
        ..Needs::default()
    };
    choice.needs = &needs;
    let mut gone = Vec::new();
    for want in [4, 1, 3, 0, 5, 2] {
        let can = |at: usize| (!gone.contains(&at)).then_some(Can::Yes(None));
        assert_eq!(choice.choose(&prices, tier, can), Some((want, None)));
        gone.push(want);
    }
    assert_eq!(choice.choose(&prices, tier, |_| None), None);
}

#[test]
fn who_has_no_weight_is_the_last_resort_of_every_balance() {
    let all = [
        Candidate::new("p", "a").weight(0).price(1, 1),
        Candidate::new("p", "b").price(2, 2),
        Candidate::new("p", "c").weight(0).price(3, 3),
    ];
    all[1].state.took(9_000_000, 0);
    for balance in BALANCES {
        let tier = &Tier::of(&all, balance)[0];
        for random in 0..50 {
            let choice = choice(balance, random);
            let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
            assert_eq!(found, Some((1, None)), "{balance:?}");
            let found = choice.choose(&all, tier, |at| (at != 1).then_some(Can::Yes(None)));
            assert!(found.is_some(), "{balance:?}");
        }
    }
}

#[test]
fn who_has_recovered_gets_its_share_slowly_by_every_balance() {
    for balance in BALANCES {
        // By price and by pace the first is the best; by the others it has half.
        let all = [
            Candidate::new("p", "a").price(1, 1),
            Candidate::new("p", "b").price(2, 2),
        ];
        all[1].state.took(50_000, 0);
        let config = Breaking::default();
        for _ in 0..5 {
            all[0].state.record(false, 0, 0, &config);
        }
        all[0].state.record(true, 10, 10, &config);
        let tier = &Tier::of(&all, balance)[0];
        let share = |now| {
            let of = |random| {
                let mut choice = choice(balance, random);
                choice.now = now;
                let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
                found.expect("one").0 == 0
            };
            (0..1_000).filter(|random| of(*random)).count()
        };
        let (first, half, whole) = (share(10), share(5_010), share(10_010));
        assert!(first <= 200 && first > 10, "{balance:?}: {first}");
        assert!(half > first && half < whole, "{balance:?}: {half} {whole}");
        // What sticks comes back request by request, and stays.
        if matches!(balance, Balance::Sticky(_)) {
            let mut choice = choice(balance, 7);
            let mut seen = Vec::new();
            for now in (10..10_010).step_by(500) {
                choice.now = now;
                choice.random = mix(now);
                let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
                seen.push(found.expect("one").0);
            }
            assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
        }
    }
}

/// Few are looked at one by one, many are laid out beforehand.
#[test]
fn stickiness_survives_the_loss_of_another() {
    for n in [10, 50] {
        let all = candidates(&vec![1; n]);
        let fewer: Vec<_> = all[..n - 1].to_vec();
        let tier = &Tier::of(&all, Balance::Sticky(Sticky::Key))[0];
        let less = &Tier::of(&fewer, Balance::Sticky(Sticky::Key))[0];
        let (mut moved, mut of_lost) = (0, 0);
        let mut heirs = std::collections::BTreeSet::new();
        for random in 0..10_000 {
            let choice = choice(Balance::Sticky(Sticky::Key), random);
            let with = |lost: usize| {
                let can = |at: usize| (at != lost).then_some(Can::Yes(None));
                choice.choose(&all, tier, can).expect("one").0
            };
            let before = with(99);
            assert_eq!(before, with(99));
            match with(4) == before {
                true => {}
                false if before == 4 => of_lost += 1,
                false => moved += 1,
            }
            if before == 4 {
                heirs.insert(with(4));
            }
            // One that is taken out of the table for good is as one that cannot be asked.
            let found = choice.choose(&fewer, less, |_| Some(Can::Yes(None)));
            assert_eq!(found, Some((with(n - 1), None)));
        }
        assert_eq!(moved, 0);
        let share = 10_000 / n;
        assert!(
            (share * 3 / 4..share * 5 / 4).contains(&of_lost),
            "{of_lost}"
        );
        assert!(
            heirs.len() > n * 3 / 4,
            "what it leaves goes to all: {heirs:?}"
        );
    }
}

/// Few are looked at one by one, many are laid out beforehand.
#[test]
fn requests_stick_to_none_of_those_without_weight() {
    for n in [2, 20] {
        let all = candidates(&vec![0; n]);
        let tier = &Tier::of(&all, Balance::Sticky(Sticky::Key))[0];
        for random in 0..100 {
            let choice = choice(Balance::Sticky(Sticky::Key), random);
            let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
            assert!(all[found.expect("one").0].state.enter(u32::MAX));
        }
        let busy = all.iter().filter(|one| one.state.in_flight() > 0);
        assert_eq!(busy.count(), n, "any of them will do");
    }
}

#[test]
fn a_sticky_target_is_not_overrun() {
    let all = candidates(&[1; 4]);
    let tier = &Tier::of(&all, Balance::Sticky(Sticky::Key))[0];
    let choice = choice(Balance::Sticky(Sticky::Key), 5);
    for _ in 0..100 {
        let can = |_: usize| Some(Can::Yes(None));
        let (at, _) = choice.choose(&all, tier, can).expect("one");
        assert!(all[at].state.enter(u32::MAX));
    }
    let most = all.iter().map(|one| one.state.in_flight()).max();
    assert!(most <= Some(32), "{most:?}");
}
