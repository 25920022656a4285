//! A disk that loses, tears and refuses writes.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use redb::{Database, StorageBackend};

use super::{RedbLedger, RedbOptions, StoreError};

/// A disk in memory, with a cache that a loss of power empties.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>, pub(super) Arc<Hang>);

/// While it is set, a sync does not come back.
#[derive(Debug, Default)]
pub(super) struct Hang {
    hangs: Mutex<bool>,
    over: Condvar,
}

impl Hang {
    pub(super) fn set(&self, hangs: bool) {
        *self.hangs.lock().expect("not poisoned") = hangs;
        self.over.notify_all();
    }

    fn wait(&self) {
        let hangs = self.hangs.lock().expect("not poisoned");
        drop(self.over.wait_while(hangs, |hangs| *hangs));
    }
}

#[derive(Debug, Default)]
pub(super) struct Platter {
    /// What reads see.
    cached: Vec<u8>,
    /// What survives for certain.
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// Writes and syncs until one fails, and how many fail then.
    pub(super) fails_in: Option<(u32, u32)>,
    dead: bool,
    pub(super) syncs: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Pending {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(at(*length), 0),
            Self::Write(offset, data) => {
                let end = at(*offset) + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[at(*offset)..end].copy_from_slice(data);
            }
        }
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("a small disk")
}

impl Disk {
    pub(super) fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("not poisoned")
    }

    /// Switches it off: nothing is read or written any more.
    pub(super) fn kill(&self) {
        self.lock().dead = true;
    }

    /// The disk after a loss of power: of what was not synced, writes are there, lost, or torn at
    /// a sector's border, in any combination.
    pub(super) fn after_loss(&self, dice: &mut Dice) -> Self {
        let old = self.lock();
        let mut bytes = old.durable.clone();
        for pending in &old.pending {
            match dice.below(3) {
                0 => {}
                1 => pending.apply(&mut bytes),
                _ => match pending {
                    Pending::Length(_) => {}
                    Pending::Write(offset, data) => {
                        for (n, sector) in data.chunks(512).enumerate() {
                            if dice.below(2) == 0 {
                                let offset = offset + 512 * n as u64;
                                Pending::Write(offset, sector.to_vec()).apply(&mut bytes);
                            }
                        }
                    }
                },
            }
        }
        let platter = Platter {
            cached: bytes.clone(),
            durable: bytes,
            ..Platter::default()
        };
        Self(Arc::new(Mutex::new(platter)), Arc::default())
    }

    pub(super) fn open(&self, options: RedbOptions) -> Result<RedbLedger, StoreError> {
        let disk = self.clone();
        let open = move || {
            Database::builder()
                .create_with_backend(disk.clone())
                .map_err(|error| StoreError::new("opening the ledger's file", error))
        };
        options.open_by(Box::new(open))
    }
}

impl Platter {
    fn works(&mut self) -> Result<(), io::Error> {
        let failed = || Err(io::Error::other("a bad disk"));
        if self.dead {
            return failed();
        }
        match &mut self.fails_in {
            None => Ok(()),
            Some((0, 0)) => {
                self.fails_in = None;
                Ok(())
            }
            Some((0, times)) => {
                *times -= 1;
                failed()
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        let platter = self.lock();
        if platter.dead {
            return Err(io::Error::other("off"));
        }
        Ok(platter.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let platter = self.lock();
        let end = at(offset) + out.len();
        if platter.dead || platter.cached.len() < end {
            return Err(io::Error::other("off"));
        }
        out.copy_from_slice(&platter.cached[at(offset)..end]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut platter = self.lock();
        platter.works()?;
        let pending = Pending::Length(length);
        pending.apply(&mut platter.cached);
        platter.pending.push(pending);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.1.wait();
        let platter = &mut *self.lock();
        platter.works()?;
        platter.syncs += 1;
        for pending in platter.pending.drain(..) {
            pending.apply(&mut platter.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut platter = self.lock();
        platter.works()?;
        let pending = Pending::Write(offset, data.to_vec());
        pending.apply(&mut platter.cached);
        platter.pending.push(pending);
        Ok(())
    }
}

pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}
