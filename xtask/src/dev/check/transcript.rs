//! What happened in the check, line by line, with the time of each.
//!
//! It must not judge.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use owo_colors::OwoColorize as _;

/// Longest frame that is shown whole, in characters.
const FRAME_LEN_MAX: usize = 220;

/// Which way a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From a client to the edge.
    Sent,
    /// From the edge to a client.
    Received,
    /// Something done to the machine, or seen on it.
    Done,
}

/// The lines so far, printed as they come. Clones write to the same transcript.
#[derive(Clone)]
pub(super) struct Transcript {
    started: Instant,
    frames: Arc<AtomicUsize>,
}

impl Transcript {
    /// Starts the clock.
    pub(super) fn begin() -> Self {
        anstream::println!();
        Self { started: Instant::now(), frames: Arc::default() }
    }

    /// Adds a line that happened at a moment.
    pub(super) fn add(&self, at: Instant, who: &str, way: Way, what: &str) {
        let time = format!("{:>7.3} s", at.saturating_duration_since(self.started).as_secs_f64());
        let arrow = match way {
            Way::Sent => "→".blue().to_string(),
            Way::Received => "←".green().to_string(),
            Way::Done => "·".yellow().to_string(),
        };
        if way != Way::Done {
            self.frames.fetch_add(1, Ordering::Relaxed);
        }
        anstream::println!("{} {who:<12} {arrow} {}", time.dimmed(), shortened(what));
    }

    /// Adds a line that tells how long something took.
    pub(super) fn took(&self, what: &str, time: Duration) {
        let line = format!("{what}: {:.1} ms", time.as_secs_f64() * 1000.0);
        self.add(Instant::now(), "check", Way::Done, &line.bold().to_string());
    }

    /// How much there was.
    pub(super) fn summary(&self) -> String {
        let frames = self.frames.load(Ordering::Relaxed);
        format!("{frames} frames in {:.1} s", self.started.elapsed().as_secs_f64())
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(FRAME_LEN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_frames_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(FRAME_LEN_MAX + 1));
        assert_eq!(cut.chars().count(), FRAME_LEN_MAX + 1);
        assert!(cut.ends_with('…'));
    }
}
