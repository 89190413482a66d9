//! The scripts that complete command lines in a shell. The built-in names of the catalog come from the definition
//! of the command line; a tenant's own kinds are not in them.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{args::Cli, error::Error};

/// Prints the script. It is collected first, because its generator cannot fail to write.
pub(crate) fn print(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "signalbox", &mut script);
    if shell == Shell::Fish {
        script.extend(fish_kinds().into_bytes());
    }
    io::stdout().lock().write_all(&script).map_err(Error::Write)
}

/// The kinds where one is due: the generator for this shell completes what flags take, and no more.
fn fish_kinds() -> String {
    let kinds = signalbox_catalog::kinds().map(|kind| kind.name.as_str()).collect::<Vec<_>>().join(" ");
    let after = |topic: &str, verbs: &str| {
        format!(
            "complete -c signalbox -n \"__fish_signalbox_using_subcommand {topic}; and \\\n__fish_seen_subcommand_from {verbs}\" -f -a \"{kinds}\"\n"
        )
        .replace("\\\n", "")
    };
    ["resource", "resources"].map(|topic| after(topic, "create get list update delete")).concat()
        + &after("catalog", "kind")
}
