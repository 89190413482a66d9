//! Which faults happen when: a pure function of a seed, so that a run that broke a promise can be repeated.
//!
//! It must not know how a fault is made.

use std::{collections::HashMap, fmt, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// What is done to a part of the house.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An agent is killed with SIGKILL and started again.
    KillAgent,
    /// A replica of the state service is killed with SIGKILL and started again.
    KillReplica,
    /// An edge is killed with SIGKILL and started again.
    KillEdge,
    /// Postgres is killed with SIGKILL and started again.
    KillPostgres,
    /// An agent stands still (SIGSTOP) for a while.
    PauseAgent,
    /// A replica stands still, now and then for longer than its lease.
    PauseReplica,
    /// An edge stands still.
    PauseEdge,
    /// An agent is asked to stop (SIGTERM), and started again.
    StopAgent,
    /// A replica is asked to stop (SIGTERM), as in a rolling restart, and started again.
    StopReplica,
    /// An edge is asked to stop, and started again.
    StopEdge,
    /// An agent stands still, another run of it takes over, and then the first one goes on.
    Twin,
    /// An agent with a spool is cut off and goes on reporting, and is then killed: what it reported is in its spool
    /// alone, and the next run sends it.
    HandOver,
    /// A reader is away while the log is cut off behind it.
    Compact,
    /// Every connection of a link breaks, and none can be made.
    Cut,
    /// A link keeps its connections and carries nothing.
    Freeze,
    /// A link carries everything late.
    Delay,
    /// Postgres ends the connections on which replicas listen for hints.
    BusLost,
    /// A reader does not read.
    StopReading,
    /// A reader reads little at a time.
    SlowReading,
    /// All WebSocket clients connect anew at once.
    Storm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::KillAgent,
        Self::KillReplica,
        Self::KillEdge,
        Self::KillPostgres,
        Self::PauseAgent,
        Self::PauseReplica,
        Self::PauseEdge,
        Self::StopAgent,
        Self::StopReplica,
        Self::StopEdge,
        Self::Twin,
        Self::HandOver,
        Self::Compact,
        Self::Cut,
        Self::Freeze,
        Self::Delay,
        Self::BusLost,
        Self::StopReading,
        Self::SlowReading,
        Self::Storm,
    ];

    /// How often it is drawn, compared with the others.
    const fn weight(self) -> u32 {
        match self {
            Self::Cut | Self::KillAgent => 4,
            Self::KillReplica | Self::KillEdge | Self::Freeze | Self::StopReplica => 3,
            Self::KillPostgres | Self::Twin | Self::Storm => 1,
            _ => 2,
        }
    }

    /// How long it lasts, in milliseconds.
    const fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::KillPostgres => (200, 3_000),
            // The lease of a replica holds for ten seconds.
            Self::PauseReplica => (500, 14_000),
            Self::PauseAgent | Self::PauseEdge | Self::Freeze | Self::StopReading => (500, 8_000),
            Self::Twin => (1_000, 6_000),
            Self::HandOver => (1_000, 5_000),
            Self::Compact => (3_000, 12_000),
            Self::BusLost | Self::Storm => (0, 0),
            _ => (100, 4_000),
        }
    }

    /// What kind of part it befalls.
    const fn befalls(self) -> Part {
        match self {
            Self::KillAgent | Self::PauseAgent | Self::StopAgent => Part::Agent,
            Self::Twin => Part::Forgetful,
            Self::HandOver => Part::Spooled,
            Self::KillReplica | Self::PauseReplica | Self::StopReplica => Part::Replica,
            Self::KillEdge | Self::PauseEdge | Self::StopEdge => Part::Edge,
            Self::KillPostgres => Part::Postgres,
            Self::Cut | Self::Freeze | Self::Delay => Part::Link,
            Self::StopReading | Self::SlowReading | Self::Compact => Part::Reader,
            Self::BusLost | Self::Storm => Part::House,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self).expect("no kind is skipped");
        f.write_str(value.get_name())
    }
}

/// What faults can befall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Agent,
    /// An agent that writes down what it reports and has a spool; these come right before the next.
    Spooled,
    /// An agent without a ledger on disk; these are the last ones among the agents.
    Forgetful,
    Replica,
    Edge,
    Postgres,
    Link,
    Reader,
    House,
}

/// How many there are of each part of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// Agents, of whichever sort.
    pub agents: usize,
    /// How many of the agents have a spool to hand over: those before the forgetful ones.
    pub spooled: usize,
    /// How many of the agents can have a twin: those from `agents - forgetful` on.
    pub forgetful: usize,
    /// Replicas of the state service.
    pub replicas: usize,
    /// Edges.
    pub edges: usize,
    /// Links between parts.
    pub links: usize,
    /// Readers, over gRPC and over WebSocket.
    pub readers: usize,
    /// Whether Postgres is ours to kill.
    pub postgres: bool,
}

impl Cast {
    const fn count(&self, part: Part) -> usize {
        match part {
            Part::Agent => self.agents,
            Part::Spooled => self.spooled,
            Part::Forgetful => self.forgetful,
            Part::Replica => self.replicas,
            Part::Edge => self.edges,
            Part::Postgres => self.postgres as usize,
            Part::Link => self.links,
            Part::Reader => self.readers,
            Part::House => 1,
        }
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When it begins, from the beginning of the load.
    pub at: Duration,
    /// How long it lasts; zero for what happens in a moment.
    pub lasts: Duration,
    /// What happens.
    pub kind: Kind,
    /// To which part of its sort, from 0.
    pub target: usize,
}

/// How long a part is left alone after a fault, so that two of them are never undone in each other's place.
const RECOVERY: Duration = Duration::from_millis(1500);
/// How often a part is drawn again when the one drawn is still befallen.
const DRAWS_MAX: usize = 8;

/// The faults of a run, in the order of their beginnings. `every` is the mean time between two.
#[must_use]
pub fn schedule(seed: u64, length: Duration, every: Duration, cast: &Cast, kinds: &[Kind]) -> Vec<Fault> {
    let mut rng = StdRng::seed_from_u64(seed);
    let kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| cast.count(kind.befalls()) > 0).collect();
    let mut free_at: HashMap<(Part, usize), Duration> = HashMap::new();
    let (mut faults, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        at += every.mul_f64(rng.random_range(0.2..=1.8));
        if at >= length {
            return faults;
        }
        for _ in 0..DRAWS_MAX {
            let Ok(kind) = kinds.choose_weighted(&mut rng, |kind| kind.weight()).copied() else {
                return faults;
            };
            let (shortest, longest) = kind.lasts_ms();
            let lasts = Duration::from_millis(rng.random_range(shortest..=longest)).min(length - at);
            let part = kind.befalls();
            let drawn = rng.random_range(0..cast.count(part));
            let (part, target) = match part {
                Part::Forgetful => (Part::Agent, cast.agents - cast.forgetful + drawn),
                Part::Spooled => (Part::Agent, cast.agents - cast.forgetful - cast.spooled + drawn),
                _ => (part, drawn),
            };
            let free = free_at.entry((part, target)).or_default();
            if *free <= at {
                *free = at + lasts + RECOVERY;
                faults.push(Fault { at, lasts, kind, target });
                break;
            }
        }
    }
}

/// Every agent, replica and edge asked to stop and started again, one after the other and as often as there is time
/// for, as when new programs are rolled out.
#[must_use]
pub fn rolling(length: Duration, every: Duration, cast: &Cast) -> Vec<Fault> {
    let kinds = [Kind::StopReplica, Kind::StopEdge, Kind::StopAgent];
    let all = |kind: Kind| (0..cast.count(kind.befalls())).map(move |target| (kind, target));
    let (mut faults, mut at) = (Vec::new(), every / 2);
    for (kind, target) in kinds.into_iter().flat_map(all).collect::<Vec<_>>().into_iter().cycle() {
        if at + every / 4 >= length {
            break;
        }
        faults.push(Fault { at, lasts: every / 4, kind, target });
        at += every;
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CAST: Cast = Cast {
        agents: 6,
        spooled: 2,
        forgetful: 2,
        replicas: 3,
        edges: 2,
        links: 12,
        readers: 8,
        postgres: true,
    };
    const HOUR: Duration = Duration::from_secs(3600);
    const EVERY: Duration = Duration::from_secs(3);

    #[test]
    fn a_seed_has_one_schedule_and_another_seed_another() {
        let faults = schedule(7, HOUR, EVERY, &CAST, &Kind::ALL);
        assert_eq!(faults, schedule(7, HOUR, EVERY, &CAST, &Kind::ALL));
        assert_ne!(faults, schedule(8, HOUR, EVERY, &CAST, &Kind::ALL));
        assert!((1000..1400).contains(&faults.len()), "{}", faults.len());
        let kinds: BTreeSet<Kind> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds.len(), Kind::ALL.len(), "an hour has every kind");
    }

    #[test]
    fn faults_are_over_in_time_and_never_overlap_at_one_part() {
        let faults = schedule(1, HOUR, EVERY, &CAST, &Kind::ALL);
        let mut busy: HashMap<(Part, usize), Duration> = HashMap::new();
        for fault in faults {
            assert!(fault.at + fault.lasts <= HOUR);
            let part = match fault.kind.befalls() {
                Part::Forgetful | Part::Spooled => Part::Agent,
                part => part,
            };
            let until = busy.insert((part, fault.target), fault.at + fault.lasts);
            assert!(until.is_none_or(|until| until < fault.at), "{fault:?}");
            if fault.kind == Kind::Twin {
                assert!((4..6).contains(&fault.target), "only agents without a ledger have twins");
            }
            if fault.kind == Kind::HandOver {
                assert!((2..4).contains(&fault.target), "only workers with a spool have one to hand over");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_befallen() {
        let cast = Cast { postgres: false, forgetful: 0, spooled: 0, ..CAST };
        let faults = schedule(3, HOUR, EVERY, &cast, &Kind::ALL);
        assert!(
            faults
                .iter()
                .all(|fault| !matches!(fault.kind, Kind::KillPostgres | Kind::Twin | Kind::HandOver))
        );
        assert!(schedule(3, HOUR, EVERY, &cast, &[Kind::Twin]).is_empty());
        let cuts = schedule(3, HOUR, EVERY, &cast, &[Kind::Cut]);
        assert!(!cuts.is_empty() && cuts.iter().all(|fault| fault.kind == Kind::Cut));
    }

    #[test]
    fn a_rolling_restart_takes_every_server_and_agent_in_turn() {
        let faults = rolling(EVERY * 12, EVERY, &CAST);
        let taken: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.target)).collect();
        let agents = (0..6).map(|target| (Kind::StopAgent, target));
        let first = [(Kind::StopReplica, 0), (Kind::StopReplica, 1), (Kind::StopReplica, 2)];
        let then = [(Kind::StopEdge, 0), (Kind::StopEdge, 1)];
        assert_eq!(taken, first.into_iter().chain(then).chain(agents).chain([first[0]]).collect::<Vec<_>>());
        assert!(faults.iter().all(|fault| fault.at + fault.lasts < EVERY * 12));
        let nobody = Cast { agents: 0, replicas: 0, edges: 0, ..CAST };
        assert!(rolling(HOUR, EVERY, &nobody).is_empty());
    }
}
