//! What serves the streams of HTTP/2 connections: tasks of their own, which outlive the connection.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::rt::Executor;
use tokio::{sync::watch, task::JoinSet, time::interval};

use crate::{
    connection::Counted,
    moves::{Moves, Watched},
};

/// How often it is looked whether a connection that is to end has any streams or moves anything, and how many such
/// looks in a row must find neither: time for what was sent to arrive, for a client that reads slowly to ask for
/// more, and for a request that crossed the goodbye.
const LOOK: Duration = Duration::from_millis(100);
const QUIET: u32 = 10;

/// Those of all connections of a worker, or of one of them.
#[derive(Clone, Default)]
pub struct Streams {
    tasks: Arc<Mutex<JoinSet<()>>>,
    open: Arc<AtomicUsize>,
    moves: Arc<Moves>,
}

impl Streams {
    /// Those of one connection, which are counted.
    pub fn of_one(&self) -> Self {
        Self {
            tasks: Arc::clone(&self.tasks),
            open: Arc::default(),
            moves: Arc::default(),
        }
    }

    /// The connection's socket. What serves a stream is over before all of its answer has been sent: the rest is
    /// the connection's, until its client takes it.
    pub fn watched<S>(&self, socket: S) -> Watched<S> {
        Watched::new(socket, &self.moves)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends once it is to stop and has had none for a while. A connection ends by itself when its client answers
    /// the ping that goes with the goodbye; not all do.
    pub async fn are_over(&self, mut stopping: watch::Receiver<()>) {
        let _ = stopping.changed().await;
        let (mut look, mut quiet) = (interval(LOOK), 0);
        while quiet <= QUIET {
            look.tick().await;
            let moves = self.moves.have_been();
            quiet = match self.open.load(Ordering::Relaxed) {
                0 if !moves => quiet + 1,
                _ => 0,
            };
        }
    }

    /// Drops those that are left; each has settled when this returns.
    pub async fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let open = Counted::one_of(&self.open);
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            task.await;
            drop(open);
        });
    }
}
