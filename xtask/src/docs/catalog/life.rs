//! Diagrams of lives.

use signalbox_catalog::{Lifecycle, Run};

/// The course of a life as a diagram, and what it asks for.
pub(super) fn diagram(lifecycle: &Lifecycle, run: Option<&Run>) -> String {
    let mut lines = vec!["```mermaid".to_owned(), "stateDiagram-v2".to_owned()];
    if let Some((field, state)) = lifecycle.begins_when {
        lines.push(format!("  [*] --> {state}: {field}"));
    }
    lines.push(format!("  [*] --> {}", lifecycle.initial));
    for (from, next) in &lifecycle.transitions {
        lines.extend(next.iter().map(|to| format!("  {from} --> {to}")));
    }
    let ends = lifecycle.states().into_iter().filter(|state| lifecycle.is_final(state));
    lines.extend(ends.map(|state| format!("  {state} --> [*]")));
    lines.push("```".to_owned());
    let mut text = lines.join("\n");
    text.push_str("\n\n");
    text.push_str(&conditions(lifecycle, run));
    text
}

fn conditions(lifecycle: &Lifecycle, run: Option<&Run>) -> String {
    let mut text = format!("The state is in `{}`.", lifecycle.field);
    for (state, field) in &lifecycle.requires {
        text.push_str(&format!(" `{state}` needs `{field}`."));
    }
    if !lifecycle.by_people.is_empty() {
        let states: Vec<_> = lifecycle.by_people.iter().map(|state| format!("`{state}`")).collect();
        text.push_str(&format!(" Only a person may decide on {}.", states.join(", ")));
    }
    if let Some(run) = run {
        text.push_str(&format!(" A run: its agent works on it while it is `{}`.", run.active));
    }
    text.push('\n');
    text
}
