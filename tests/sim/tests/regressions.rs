//! Seeds that led to a fix. What a seed makes happen changes with the simulator; the shortest of
//! these histories are scripted in `scenarios.rs`.

use larder_sim::{Options, run};

macro_rules! seeds {
    ($($seed:literal $name:ident,)+) => {
        $(
            #[test]
            fn $name() {
                let violation = run($seed, Options::default()).violation;
                assert_eq!(violation, None);
            }
        )+
    };
}

seeds! {
    61 an_element_is_sent_with_every_dot_its_receiver_lacks,
    161 a_checkpoint_holds_what_only_the_redo_held,
    144 an_owner_that_spoke_before_the_copy_began_is_asked_again,
    66 an_old_owner_asks_before_it_offers,
    41 an_actor_does_not_retire_while_a_stand_in_has_its_dots,
    246 a_node_that_is_heard_is_not_down,
    668 a_reset_is_forgotten_beside_unrelated_siblings,
    72 a_reset_that_masks_a_sibling_is_kept,
    693 a_clock_set_back_a_year_starts_no_storm,
    920 a_repeated_write_waits_for_what_the_first_one_wrote,
    1179 a_transfer_survives_a_repeated_call,
    3596 an_answer_to_an_earlier_run_is_not_taken_for_another,
    8400691 a_leaf_is_gone_where_its_removal_came_first,
    8401956 a_removal_that_was_taken_for_lost_comes_back_with_a_backup,
    8301131 a_clock_a_year_ahead_may_forget_a_removed_document_before_the_others,
}
