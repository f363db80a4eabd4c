//! A web server that is not ours, with the limits that public ones have.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::context::{Project, mirror_entry};
use crate::fixtures::large_mirror;
use crate::requirement::Requirement;

/// nginx over a folder. It ends when this is dropped.
struct Nginx {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// `None` where there is no nginx and none is required.
    fn start(root: &Path, http: &str, server: &str) -> Option<Self> {
        let program = ["nginx", "/usr/sbin/nginx"].into_iter().find(|program| {
            Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        });
        let program = Requirement::Nginx.met(program.ok_or_else(|| "there is no nginx on this machine".to_owned()))?;
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        // It can't be asked which port it took: one that was free a moment ago, and another one if somebody was faster.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            // As root, nginx would become another user, who may not read the folder.
            let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
            let configuration = format!(
                "{user} daemon off; pid {here}/pid; error_log {here}/error.log; worker_processes 1;
                 events {{ worker_connections 256; }}
                 http {{ access_log {here}/access.log; client_body_temp_path {here}; proxy_temp_path {here};
                 fastcgi_temp_path {here}; uwsgi_temp_path {here}; scgi_temp_path {here}; {http}
                 server {{ listen 127.0.0.1:{port}; root {}; {server} }} }}",
                root.display()
            );
            let path = folder.path().join("nginx.conf");
            fs::write(&path, configuration).unwrap();
            let log = folder.path().join("error.log");
            let arguments = ["-c", path.to_str().unwrap(), "-e", log.to_str().unwrap()];
            let mut process = Command::new(program).args(arguments).stderr(Stdio::null()).spawn().unwrap();
            while process.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(Self { process, port, _folder: folder });
                }
                std::thread::yield_now();
            }
        }
        panic!("nginx does not start");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked to stop, so that its worker goes with it.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[test]
fn a_server_that_takes_two_connections_and_limits_each_is_lived_with() {
    let (mirror, digest) = large_mirror(24 << 20);
    let limits = "limit_conn_zone $binary_remote_addr zone=address:1m;";
    let Some(nginx) = Nginx::start(mirror.path(), limits, "location /blobs { limit_conn address 2; limit_rate 8m; }")
    else {
        return;
    };
    let project = Project::new("v3/env-demo");
    project.configure(&mirror_entry(&nginx.url(), false));
    project.prepare();
    assert!(project.cached(&digest).exists());
}
