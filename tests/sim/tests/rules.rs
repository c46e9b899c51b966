//! Each rule of DESIGN.md section 4, broken on purpose, is found.

#![expect(
    clippy::print_stdout,
    reason = "the test says which seed found the rule"
)]

use larder_sim::{Options, run};

/// Seeds that a broken rule may take to be found: a tenth of what is demanded.
const SEEDS_MAX: u64 = 500;

fn is_found(rule: u8) {
    let options = Options {
        broken_rule: rule,
        ..Options::default()
    };
    let found = (0..SEEDS_MAX).find_map(|seed| Some((seed, run(seed, options).violation?)));
    let (seed, violation) = found.expect("a broken rule is found");
    println!(
        "rule {rule} at seed {seed}: {}: {}",
        violation.checker, violation.what
    );
}

macro_rules! rules {
    ($($rule:literal $name:ident,)+) => {
        $(
            #[test]
            fn $name() {
                is_found($rule);
            }
        )+
    };
}

rules! {
    1 rule_1_broken_is_found,
    2 rule_2_broken_is_found,
    3 rule_3_broken_is_found,
    4 rule_4_broken_is_found,
    5 rule_5_broken_is_found,
    6 rule_6_broken_is_found,
    7 rule_7_broken_is_found,
    8 rule_8_broken_is_found,
    9 rule_9_broken_is_found,
    10 rule_10_broken_is_found,
}
