//! `docs/security.md`: who may call what, from the table that the state service goes by, and what stops which threat.

use anyhow::{Context as _, Result};
use signalbox_identity::{RULES, Role};

use super::Files;

const TEXT: &str = include_str!("security/text.md");
/// Where the table stands in the text.
const TABLE: &str = "{table}";

/// The one file.
pub(super) fn files() -> Result<Files> {
    let (before, after) = TEXT.split_once(TABLE).context("find the place of the table")?;
    Ok(Files::from([("docs/security.md".into(), format!("{before}{}{after}", table()?))]))
}

/// One row for each method, one column for each role.
fn table() -> Result<String> {
    let mut table = "| call |".to_owned();
    Role::ALL.iter().for_each(|role| table.push_str(&format!(" {role} |")));
    table.push_str(" enrolment token | platform |\n|---|");
    table.push_str(&":-:|".repeat(Role::ALL.len() + 2));
    for rule in RULES {
        let call = rule.path.strip_prefix("/signalbox.v1.").context("shorten the name of a method")?;
        table.push_str(&format!("\n| `{}` |", call.replace('/', ".")));
        for role in Role::ALL {
            table.push_str(if rule.roles.contains(&role) { " ● |" } else { "  |" });
        }
        table.push_str(if rule.enrols { " ● |" } else { "  |" });
        table.push_str(if rule.platform { " ● |" } else { "  |" });
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_a_row_with_a_mark_for_each_of_its_roles() {
        let table = table().unwrap();
        assert_eq!(table.lines().count(), RULES.len() + 2);
        assert!(table.contains("| `AgentService.Connect` |  |  |  | ● |  |  |  |"), "{table}");
    }
}
