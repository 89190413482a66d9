//! One process of the house, which does what it is told and is started again when it dies.
//!
//! It must not know what the process is.

use std::{
    fs::OpenOptions,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::record::{Record, Recorder};

/// How long a process may take to end that was asked to, or that another has replaced.
const END_MAX: Duration = Duration::from_secs(30);
/// How soon a process that died is started again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Orders that wait for a process.
const ORDERS_MAX: usize = 8;

/// How a process is started.
pub(crate) struct Recipe {
    /// What it is called.
    pub(crate) name: String,
    /// Makes the command of a run; runs are numbered from 1.
    pub(crate) command: Box<dyn Fn(u32) -> Command + Send + Sync>,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// What it means when it ends by itself.
    pub(crate) death: Death,
}

/// What it means when a process ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It is a server, and a defect.
    OfServer,
    /// It is an agent, and worth a line.
    OfAgent,
    /// Nothing: it could not start because its former life has not quite ended.
    Nothing,
}

/// What a process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// To end at once.
    Kill,
    /// To end in good order.
    Stop,
    /// To run again.
    Start,
    /// To stand still.
    Pause,
    /// To go on.
    Resume,
    /// To stand still while another run of it takes its place.
    Replace,
    /// The one that was replaced goes on, and one of the two has to notice and end.
    Return,
}

/// A process in somebody's hands. It is killed when dropped.
pub(crate) struct Process {
    orders: mpsc::Sender<Order>,
    pid: watch::Receiver<Option<u32>>,
    task: JoinHandle<()>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub(crate) fn start(recipe: Recipe, recorder: Recorder) -> io::Result<Self> {
        let (orders, given) = mpsc::channel(ORDERS_MAX);
        let (pid_sender, pid) = watch::channel(None);
        let mut keeper = Keeper { recipe, recorder, run: 0, child: None, former: None, pid: pid_sender };
        keeper.start()?;
        Ok(Self { orders, pid, task: tokio::spawn(keeper.run(given)) })
    }

    /// Its number with the operating system: of the newest run, which may be over.
    pub(crate) fn pid(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Tells it something. Does not wait until it is done.
    pub(crate) async fn order(&self, order: Order) {
        // Fails only when its keeper has panicked, which the end of the house shows.
        let _ = self.orders.send(order).await;
    }

    /// Ends it in good order.
    pub(crate) async fn end(self) {
        self.order(Order::Stop).await;
        let Self { orders, mut task, .. } = self;
        drop(orders);
        if timeout(END_MAX, &mut task).await.is_err() {
            task.abort();
        }
    }
}

struct Keeper {
    recipe: Recipe,
    recorder: Recorder,
    run: u32,
    child: Option<Child>,
    /// One that was replaced.
    former: Option<Child>,
    /// Of the newest run.
    pid: watch::Sender<Option<u32>>,
}

impl Keeper {
    async fn run(mut self, mut given: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = given.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                status = ended(&mut self.child) => {
                    self.child = None;
                    self.died(status);
                    sleep(AGAIN_AFTER).await;
                    if let Err(error) = self.start() {
                        self.recorder.put(self.death(error.to_string()));
                    }
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Start if self.child.is_none() => {
                if let Err(error) = self.start() {
                    self.recorder.put(self.death(error.to_string()));
                }
            }
            Order::Start => {}
            Order::Kill => end(self.child.take(), Signal::SIGKILL).await,
            Order::Stop => {
                end(self.former.take(), Signal::SIGKILL).await;
                end(self.child.take(), Signal::SIGTERM).await;
            }
            Order::Pause => signal(self.child.as_ref(), Signal::SIGSTOP),
            Order::Resume => signal(self.child.as_ref(), Signal::SIGCONT),
            Order::Replace => {
                signal(self.child.as_ref(), Signal::SIGSTOP);
                self.former = self.child.take();
                if let Err(error) = self.start() {
                    self.recorder.put(self.death(error.to_string()));
                }
            }
            Order::Return => {
                signal(self.former.as_ref(), Signal::SIGCONT);
                self.settle().await;
            }
        }
    }

    /// Waits until one of two runs has noticed that the other holds its place. Usually that is the former; but where
    /// its session was given up while it stood still, it connects again, and the later session is its own.
    async fn settle(&mut self) {
        let settled = async {
            tokio::select! {
                _ = ended(&mut self.former) => true,
                _ = ended(&mut self.child) => false,
            }
        };
        match timeout(END_MAX, settled).await {
            Ok(true) => self.former = None,
            Ok(false) => self.child = self.former.take(),
            Err(_) => {
                let who = format!("{}, two runs of it", self.recipe.name);
                let what = "neither noticed that the other has its place".into();
                self.recorder.put(Record::Behind { who, what });
                end(self.former.take(), Signal::SIGKILL).await;
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.recipe.log)?;
        self.run += 1;
        let mut command = (self.recipe.command)(self.run);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let child = command.spawn()?;
        self.pid.send_replace(child.id());
        self.child = Some(child);
        Ok(())
    }

    fn died(&self, status: io::Result<ExitStatus>) {
        if self.recipe.death != Death::Nothing {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            self.recorder.put(self.death(status));
        }
    }

    fn death(&self, status: String) -> Record {
        let server = self.recipe.death == Death::OfServer;
        Record::Died { process: self.recipe.name.clone(), status, server }
    }
}

/// Waits for the end of a child; for ever where there is none.
async fn ended(child: &mut Option<Child>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn end(child: Option<Child>, with: Signal) {
    let Some(mut child) = child else { return };
    signal(Some(&child), Signal::SIGCONT);
    signal(Some(&child), with);
    if timeout(END_MAX, child.wait()).await.is_err() {
        // Dropping it kills it as well; this waits until it is gone and its address free.
        let _ = child.kill().await;
    }
}

fn signal(child: Option<&Child>, signal: Signal) {
    let pid = child.and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // Fails only when it has just ended, which its keeper will see.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
