//! The end of a log file, for whoever wants to know why a program died.
//!
//! It must not know whose log it is.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// At most so much of a log is read.
const READ_BYTES_MAX: u64 = 32 * 1024;

/// The last lines of a file, indented; says so when there are none.
pub(crate) fn read(path: &Path, lines: usize) -> String {
    let text = match end_of(path) {
        Ok(text) => text,
        Err(error) => return format!("    ({} cannot be read: {error})", path.display()),
    };
    let all: Vec<&str> = text.lines().collect();
    let shown = &all[all.len().saturating_sub(lines)..];
    if shown.is_empty() {
        return format!("    ({} is empty)", path.display());
    }
    let indented: Vec<String> = shown.iter().map(|line| format!("    {line}")).collect();
    indented.join("\n")
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(READ_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown() {
        let path = std::env::temp_dir().join(format!("log-tail-{}", std::process::id()));
        std::fs::write(&path, "one\ntwo\nthree\n").expect("write");
        assert_eq!(read(&path, 2), "    two\n    three");
        std::fs::write(&path, "").expect("write");
        assert!(read(&path, 2).contains("is empty"));
        std::fs::remove_file(&path).expect("remove");
        assert!(read(&path, 2).contains("cannot be read"));
    }
}
