//! A part in a process of its own, with what the kernel says of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

pub(crate) struct Part {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Part {
    /// Starts a command and waits for its line `listening on http://ADDR`.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the part starts");
        let output = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(output).lines();
        let addr = loop {
            let line = lines
                .next()
                .expect("it says where it listens")
                .expect("text");
            if let Some(addr) = line.strip_prefix("listening on http://") {
                break addr.parse().expect("an address");
            }
        };
        // Kept open, so that a later line does not fail.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr }
    }

    /// CPU time used so far, and time in which a thread could have run and had to wait for a core, in
    /// seconds, over all threads: from the scheduler, to the nanosecond.
    pub(crate) fn cpu(&self) -> [f64; 2] {
        let folder = format!("/proc/{}/task", self.child.id());
        let mut seconds = [0.0; 2];
        for task in fs::read_dir(folder).expect("it runs").flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            for (sum, nanos) in seconds.iter_mut().zip(text.split(' ')) {
                *sum += nanos.parse().unwrap_or(0.0) / 1e9;
            }
        }
        seconds
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> f64 {
        let text =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().split(' ').next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1024.0
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
