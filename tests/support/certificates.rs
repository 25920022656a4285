//! Certificates of an authority of our own, as servers with TLS want them.

use std::{path::Path, process::Command};

/// Makes a certificate for 127.0.0.1 and for no other name (`server.pem`), its key (`server.key`), and its
/// authority's (`root.pem`).
pub fn make(directory: &Path) {
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1").expect("written");
    let new = "req -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    for asked in [
        format!("{new} -x509 -days 2 -subj /CN=authority -keyout root.key -out root.pem"),
        format!("{new} -subj /CN=server -keyout server.key -out server.csr"),
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
         -extfile names -out server.pem"
            .to_owned(),
    ] {
        let made = Command::new("openssl")
            .args(asked.split_whitespace())
            .current_dir(directory)
            .output()
            .expect("openssl: `scripts/test` installs it");
        assert!(made.status.success(), "{made:?}");
    }
    Command::new("chmod")
        .arg("600")
        .arg(directory.join("server.key"))
        .status()
        .expect("chmod runs");
}
