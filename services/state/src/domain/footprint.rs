//! About as many bytes as rows take, as quotas count them: their texts and a fixed sum for each row. The migration
//! that began to count does it in SQL by the same figures.

use std::io;

use super::{Agent, resource::Resource};

/// What a row takes beside its texts.
const ROW_OVERHEAD: usize = 256;

impl Agent {
    /// What its row takes, in bytes.
    #[must_use]
    pub(crate) fn stored_bytes(&self) -> u64 {
        let texts = [&self.agent_id, &self.name, &self.template, &self.software_version];
        let texts = texts.into_iter().chain(&self.capabilities).map(String::len).sum::<usize>();
        let labels = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let config = self.config.as_ref().map_or(0, |config| config.content.get().len());
        (ROW_OVERHEAD + texts + labels + config) as u64
    }
}

impl Resource {
    /// What its row takes, in bytes.
    #[must_use]
    pub(crate) fn stored_bytes(&self) -> u64 {
        let mut data = Counter(0);
        // A map of JSON values has nothing that cannot be written, and a counter takes all.
        let _ = serde_json::to_writer(&mut data, &self.data);
        (ROW_OVERHEAD + self.kind.len() + self.id.len() + data.0) as u64
    }
}

/// How far a row grows from one form to another; `None` stands for no row.
pub(super) fn growth(old: Option<u64>, new: Option<u64>) -> i64 {
    let signed = |bytes: Option<u64>| i64::try_from(bytes.unwrap_or(0)).unwrap_or(i64::MAX);
    signed(new) - signed(old)
}

/// Counts what is written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
