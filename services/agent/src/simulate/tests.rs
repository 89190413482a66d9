//! The plan without a server: the same for a seed, lawful, and complete.

mod world;

use std::collections::BTreeSet;

use super::{
    Story, plan,
    step::{Act, Ask, Deed, Step},
};
use world::World;

/// Two minutes less what the sessions and the last commits take.
const TWO_MINUTES_MS: u64 = 118_000;

/// The types of events that the five documents list, in the names of the catalog. Two are not the simulator's to
/// report: the state service itself says `system.status`, and measurements are no events of the log.
const DOCUMENTED: &str = "
    incident.created incident.updated incident.assigned incident.resolved incident.reopened incident.merged
    analysis.started analysis.progress analysis.completed analysis.failed
    remediation.started remediation.progress remediation.completed remediation.failed
    remediation.approval_required remediation.approved remediation.rejected remediation.rolled_back
    rule.triggered rule.created rule.updated rule.enabled rule.disabled rule.deleted
    system.alert system.maintenance agent.status_change agent.error
    alert.created alert.updated alert.assigned
    case.created case.updated case.comment case.closed
    investigation.started investigation.step investigation.finding investigation.completed investigation.error
    detection.triggered detection.suppressed ueba.anomaly ueba.baseline_updated honeytoken.touched
    playbook.started playbook.step playbook.completed playbook.failed
    agent.created agent.deleted agent.updated
    inference.started inference.progress inference.completed inference.failed
    performance.alert entity.created entity.updated entity.deleted
    relationship.created relationship.updated relationship.deleted
    command.issued command.updated command.cancel_requested
    project.progress project.completed validation.progress validation.completed
    log.line";

fn steps(seed: u64, limit: Option<u64>) -> impl Iterator<Item = Step> {
    plan(seed, &Story::ALL, limit)
}

/// One telling of every side of every story.
fn round() -> u64 {
    Story::ALL.iter().map(|story| story.sides() as u64).sum()
}

#[test]
fn two_minutes_show_every_type_of_event_that_the_documents_list() {
    for seed in 0..50 {
        let mut world = World::default();
        let mut seen = BTreeSet::new();
        for step in steps(seed, None).take_while(|step| step.at_ms < TWO_MINUTES_MS) {
            seen.extend(world.play(&step));
        }
        let missing: Vec<_> = DOCUMENTED.split_whitespace().filter(|name| !seen.contains(*name)).collect();
        assert!(missing.is_empty(), "seed {seed} does not show {missing:?}");
    }
}

#[test]
fn log_lines_have_all_six_categories_and_agents_all_states() {
    let (mut categories, mut states) = (BTreeSet::new(), BTreeSet::new());
    for step in steps(1, Some(round())) {
        match step.deed {
            Deed::Agent { act: Act::Log { category, .. }, .. } => drop(categories.insert(category)),
            Deed::Agent { act: Act::Status { status, .. }, .. } => {
                states.insert(format!("{status:?}"));
            }
            _ => {}
        }
    }
    assert_eq!(Vec::from_iter(categories), ["agent", "config", "error", "monitor", "security", "system"]);
    assert_eq!(Vec::from_iter(states), ["Active", "Failed", "Idle", "Pending"]);
}

#[test]
fn every_step_is_lawful_with_and_without_people() {
    for seed in 0..20 {
        for with_people in [true, false] {
            let mut world = World::default();
            for step in steps(seed, Some(3 * round())).filter(|step| with_people || !step.needs_people) {
                world.play(&step);
            }
        }
    }
}

#[test]
fn steps_come_in_the_order_of_their_time_and_each_story_ends_once() {
    let all: Vec<_> = steps(3, Some(40)).collect();
    assert!(all.is_sorted_by_key(|step| step.at_ms));
    let ended: Vec<_> = all.iter().filter(|step| step.is_last).map(|step| step.story).collect();
    assert_eq!(BTreeSet::from_iter(&ended).len(), 40);
    assert_eq!(ended.len(), 40);
    let first_to_last = all.iter().filter(|step| step.is_last).map(|last| {
        let first = all.iter().find(|step| step.story == last.story).map_or(0, |step| step.at_ms);
        last.at_ms - first
    });
    assert!(first_to_last.max().unwrap() < 45_000, "a story must end well within two minutes");
}

#[test]
fn what_is_taken_back_was_issued_and_what_is_remembered_is_taken_back() {
    let (mut issued, mut canceled) = (BTreeSet::new(), BTreeSet::new());
    for step in steps(5, Some(3 * round())) {
        match step.deed {
            Deed::Person(Ask::Command { word: Some(word), .. }) => drop(issued.insert(word)),
            Deed::Person(Ask::CancelCommand { word, .. }) => {
                assert!(issued.contains(&word));
                canceled.insert(word);
            }
            _ => {}
        }
    }
    assert_eq!(issued, canceled);
}

#[test]
fn the_same_seed_plays_the_same() {
    let lines = |seed, limit| -> Vec<String> { steps(seed, Some(limit)).map(|step| line(&step)).collect() };
    assert_eq!(lines(7, 50), lines(7, 50));
    assert_ne!(lines(7, 50), lines(8, 50));
    insta::assert_snapshot!(lines(7, round()).join("\n"));
}

/// A step in one line.
fn line(step: &Step) -> String {
    let deed = serde_json::to_string(&step.deed).unwrap();
    let end = if step.is_last { " end" } else { "" };
    let people = if step.needs_people { " people" } else { "" };
    format!("{:>6} story {}{people}{end} {deed}", step.at_ms, step.story)
}
