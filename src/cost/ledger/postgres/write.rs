//! The task that writes ends of holds.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    pool::Pool,
    queue::{End, Queue, Waiting},
    sql,
    task::report,
};
use crate::cost::{StoreError, What};

/// Ends that one statement writes at most.
const AT_ONCE: usize = 500;

/// How often the ends are tried when the ledger closes meanwhile.
const LAST_TRIES: u32 = 20;

/// Between two tries of what the database has refused.
const AGAIN: Duration = Duration::from_secs(60);

/// What became of an attempt to write ends.
enum Tried {
    Kept,
    /// Not by want of a connection or time: it would be the same again.
    Refused(StoreError),
    Failed(StoreError),
}

/// Writes ends until the ledger closes and all are written. What the database refuses is set aside, so that it
/// holds up nothing behind it, and tried again now and then, and whenever somebody waits for all: a statement
/// at a time, and whatever is new between two of them.
pub(super) async fn write(pool: Pool, queue: Arc<Queue>, longest: Duration) {
    let mut writer = Writer {
        pool,
        queue: Arc::clone(&queue),
        longest,
        aside: Vec::new(),
        due: None,
        round: None,
    };
    loop {
        let waiting = if writer.round.is_some() {
            queue.take_now()
        } else {
            match turn(&queue, writer.due).await {
                Turn::Write(waiting) => waiting,
                Turn::Again => {
                    writer.begin(Vec::new());
                    Waiting::default()
                }
                Turn::Over => break,
            }
        };
        let mut lost = false;
        for ends in waiting.ends.chunks(AT_ONCE) {
            lost |= !writer.keep(ends).await;
        }
        writer.tell(waiting.barriers, lost);
        writer.step().await;
    }
    writer.begin(Vec::new());
    while writer.round.is_some() {
        writer.step().await;
    }
    for end in &writer.aside {
        not_booked(end, "the database refuses it, and the ledger is closed");
    }
}

/// What is to be done next.
enum Turn {
    Write(Waiting),
    /// To try what was set aside.
    Again,
    /// No more will come.
    Over,
}

/// Waits for the next turn. What was set aside is due at its time, however much comes meanwhile.
async fn turn(queue: &Queue, due: Option<Instant>) -> Turn {
    let waiting = match due {
        None => queue.take().await,
        Some(due) if Instant::now() >= due => return Turn::Again,
        Some(due) => match timeout_at(due, queue.take()).await {
            Ok(waiting) => waiting,
            Err(_) => return Turn::Again,
        },
    };
    waiting.map_or(Turn::Over, Turn::Write)
}

struct Writer {
    pool: Pool,
    queue: Arc<Queue>,
    longest: Duration,
    /// What the database has refused; each has its place in the queue still.
    aside: Vec<End>,
    /// When that is tried next; none as long as there is nothing.
    due: Option<Instant>,
    /// What of it is being tried.
    round: Option<Round>,
}

/// All that was set aside, tried once more.
struct Round {
    /// What is yet to be tried, in parts of one statement; the next is the last.
    parts: Vec<Vec<End>>,
    /// To be told when all is in the database.
    barriers: Vec<oneshot::Sender<()>>,
    /// The same, of who came meanwhile: all is tried once more for them.
    late: Vec<oneshot::Sender<()>>,
}

impl Writer {
    /// Tries what was set aside once more, step by step.
    fn begin(&mut self, barriers: Vec<oneshot::Sender<()>>) {
        let aside = std::mem::take(&mut self.aside);
        self.round = Some(Round {
            parts: aside.chunks(AT_ONCE).map(<[End]>::to_vec).collect(),
            barriers,
            late: Vec::new(),
        });
    }

    /// Who waits for all is told now, or when all that was set aside has been tried once more.
    fn tell(&mut self, barriers: Vec<oneshot::Sender<()>>, lost: bool) {
        if barriers.is_empty() || lost {
            return;
        }
        match &mut self.round {
            Some(round) => round.late.extend(barriers),
            None if self.aside.is_empty() => told(barriers),
            None => self.begin(barriers),
        }
    }

    /// One statement more of what is being tried. What is refused as one may be so for one end in it.
    async fn step(&mut self) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        if let Some(mut ends) = round.parts.pop() {
            match self.attempt(&ends).await {
                Tried::Kept => self.queue.free(ends.len()),
                Tried::Refused(_) if ends.len() > 1 => {
                    let second = ends.split_off(ends.len() / 2);
                    round.parts.extend([second, ends]);
                }
                Tried::Refused(_) => self.aside.extend(ends),
                Tried::Failed(_) => {
                    // It is away: the others would wait for nothing.
                    self.aside.extend(ends);
                    self.aside.extend(round.parts.drain(..).flatten());
                }
            }
        }
        if !round.parts.is_empty() {
            self.round = Some(round);
            return;
        }
        self.due = (!self.aside.is_empty()).then(|| Instant::now() + AGAIN);
        if self.aside.is_empty() {
            told(round.barriers);
            told(round.late);
        } else if !round.late.is_empty() {
            self.begin(round.late);
        }
    }

    /// Tries until they are written or refused, each by itself where one of them is refused; false when any was
    /// given up.
    async fn keep(&mut self, ends: &[End]) -> bool {
        let (mut tries, mut kept) = (0, true);
        // The next is the last.
        let mut parts = vec![ends];
        while let Some(ends) = parts.pop() {
            let error = match self.attempt(ends).await {
                Tried::Kept => {
                    self.queue.free(ends.len());
                    continue;
                }
                Tried::Refused(error) => {
                    match ends {
                        [end] => self.set_aside(end, &error),
                        _ => {
                            let (first, second) = ends.split_at(ends.len() / 2);
                            parts.extend([second, first]);
                        }
                    }
                    continue;
                }
                Tried::Failed(error) => error,
            };
            tries += 1;
            if tries == 1 {
                report("charges wait: the ledger cannot be reached", &error);
            }
            if self.queue.is_closing() && tries >= LAST_TRIES {
                report("the ledger cannot be reached: this is lost", &error);
                for end in ends {
                    not_booked(end, "the ledger cannot be reached, and is closed");
                }
                self.queue.free(ends.len());
                kept = false;
                continue;
            }
            parts.push(ends);
            tokio::time::sleep(Duration::from_millis(10 << tries.min(6))).await;
        }
        kept
    }

    fn set_aside(&mut self, end: &End, error: &StoreError) {
        report("the database refuses a charge: it is set aside", error);
        not_booked(end, "refused by the database; tried again each minute");
        #[cfg(feature = "metrics")]
        metrics::counter!("tower_completions.ledger.refused").increment(1);
        self.due.get_or_insert_with(|| Instant::now() + AGAIN);
        self.aside.push(end.clone());
    }

    async fn attempt(&self, ends: &[End]) -> Tried {
        match settle(&self.pool, ends, self.longest).await {
            Ok(ended) => {
                for (account, what) in ended {
                    what.log_overrun(&account);
                }
                Tried::Kept
            }
            Err(error) if sql::is_final(&error) => Tried::Refused(error),
            Err(error) => Tried::Failed(error),
        }
    }
}

/// Writes ends now; what ended, and whose it was.
async fn settle(
    pool: &Pool,
    ends: &[End],
    longest: Duration,
) -> Result<Vec<(Arc<str>, What)>, StoreError> {
    let rows = settled(pool, ends, longest).await?;
    let ended = rows.iter().map(|row| {
        let what = What::Settled {
            hold: sql::hold(row, 0)?,
            held: sql::usd(row, 2)?,
            charged: sql::usd(row, 3)?,
            overrun: sql::usd(row, 4)?,
        };
        Ok((sql::name(row, 1)?, what))
    });
    ended.collect()
}

/// The rows of what ended now, within so long.
pub(super) async fn settled(
    pool: &Pool,
    ends: &[End],
    longest: Duration,
) -> Result<Vec<tokio_postgres::Row>, StoreError> {
    let ids: Vec<String> = ends.iter().map(|end| sql::uuid(end.hold)).collect();
    let accounts: Vec<&str> = ends.iter().map(|end| &*end.account).collect();
    let charges: Vec<Option<String>> = ends.iter().map(|end| end.charge.map(sql::text)).collect();
    let client = pool.client().await?;
    let written = async {
        let failed = |error| StoreError::new("settling", error);
        let statement = client.prepare_cached(sql::SETTLE).await.map_err(failed)?;
        client
            .query(&statement, &[&ids, &accounts, &charges])
            .await
            .map_err(failed)
    };
    // A network that swallows everything would hold up all charges until TCP gives up.
    let written = tokio::time::timeout(longest, written).await;
    written.unwrap_or_else(|_| {
        // The database would go on waiting for a lock alone, once for each try.
        pool.stop(client, longest);
        Err(StoreError::plain("settling in time"))
    })
}

fn told(barriers: Vec<oneshot::Sender<()>>) {
    for barrier in barriers {
        let _ = barrier.send(());
    }
}

fn not_booked(end: &End, why: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::error!(account = &*end.account, hold = %end.hold, charge = ?end.charge, why, "not booked");
    let _ = (end, why);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::HoldId;

    #[tokio::test(start_paused = true)]
    async fn what_was_set_aside_is_tried_each_minute_however_much_comes() {
        let queue = Queue::new(1);
        let due = Instant::now() + AGAIN;
        let mut written = 0;
        loop {
            queue.push(End {
                hold: HoldId::new(1),
                account: "a".into(),
                charge: None,
            });
            match turn(&queue, Some(due)).await {
                Turn::Write(waiting) => written += waiting.ends.len(),
                Turn::Again => break,
                Turn::Over => panic!("it is open"),
            }
            assert!(written < 100, "never tried");
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(written, 6);
        // What has come is there still, and without anything set aside nothing is due.
        assert!(matches!(turn(&queue, None).await, Turn::Write(_)));
        queue.close();
        assert!(matches!(turn(&queue, None).await, Turn::Over));
    }
}
