//! Lines of a file or of standard input, read one by one and bounded in length. It must not know what is in them.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::error::Error;

/// Longest line, in bytes: data of 64 KiB, and room for the rest.
pub(crate) const LINE_LEN_MAX: usize = 96 * 1024;

/// The lines of a file or of standard input.
pub(crate) struct Lines {
    source: Box<dyn AsyncBufRead + Send + Unpin>,
    path: PathBuf,
    /// Number of the line that was read last.
    number: u64,
    /// How many bytes were read.
    position: u64,
    /// How many there are, where that is known.
    len: Option<u64>,
}

/// A line that is not empty.
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The line, or what is wrong with it.
    pub(crate) text: Result<Vec<u8>, String>,
}

impl Lines {
    /// Opens the file, or standard input where the path is `-`.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self::of(tokio::io::stdin(), path, None));
        }
        let failed = |source| Error::Read { path: path.into(), source };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        Ok(Self::of(file, path, about.is_file().then_some(about.len())))
    }

    fn of(source: impl tokio::io::AsyncRead + Send + Unpin + 'static, path: &Path, len: Option<u64>) -> Self {
        Self { source: Box::new(BufReader::new(source)), path: path.into(), number: 0, position: 0, len }
    }

    /// How many bytes were read.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes there are, where that is known.
    pub(crate) const fn len(&self) -> Option<u64> {
        self.len
    }

    /// The next line that is not empty; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            let read = self.read().await.map_err(|source| Error::Read { path: self.path.clone(), source })?;
            let Some(read) = read else { return Ok(None) };
            self.number += 1;
            let text = match read {
                Ok(text) if text.trim_ascii().is_empty() => continue,
                Ok(text) => Ok(text),
                Err(TooLong) => Err(format!("expected at most {LINE_LEN_MAX} bytes, got more")),
            };
            return Ok(Some(Line { number: self.number, text }));
        }
    }

    /// One line, of which no more is held than a line may have.
    async fn read(&mut self) -> io::Result<Option<Result<Vec<u8>, TooLong>>> {
        let mut text = Vec::new();
        (&mut self.source).take(LINE_LEN_MAX as u64 + 1).read_until(b'\n', &mut text).await?;
        self.position += text.len() as u64;
        if text.last() == Some(&b'\n') || text.len() <= LINE_LEN_MAX {
            return Ok((!text.is_empty()).then_some(Ok(text)));
        }
        loop {
            let rest = self.source.fill_buf().await?;
            let (len, is_end) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (rest.len(), rest.is_empty()),
            };
            self.source.consume(len);
            self.position += len as u64;
            if is_end {
                return Ok(Some(Err(TooLong)));
            }
        }
    }
}

struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines::of(io::Cursor::new(text.to_owned()), Path::new("-"), None);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        assert_eq!(lines.position(), text.len() as u64);
        all
    }

    #[tokio::test]
    async fn lines_keep_their_numbers_past_empty_and_long_ones() {
        let long = "x".repeat(3 * LINE_LEN_MAX);
        let lines = read(format!("\n{{}}\n  \r\n{long}\n[1]\n{{}}").as_bytes()).await;
        let told: Vec<_> = lines.iter().map(|line| (line.number, line.text.is_ok())).collect();
        assert_eq!(told, [(2, true), (4, false), (5, true), (6, true)]);
        assert!(lines[1].text.as_ref().unwrap_err().contains("at most 98304 bytes"));
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_length_is_taken_with_or_without_its_end() {
        let line = "y".repeat(LINE_LEN_MAX);
        for text in [line.clone(), format!("{line}\n"), format!("{line}\n{line}")] {
            assert!(read(text.as_bytes()).await.iter().all(|line| line.text.is_ok()));
        }
        assert!(read(format!("{line} \n{line}").as_bytes()).await[0].text.is_err());
    }
}
