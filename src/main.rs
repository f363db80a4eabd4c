//! throwaway
use larder::commands::*;
use larder::config::*;
use larder::types::Variables;
use std::path::*;
struct P;
impl larder::reporter::Reporter for P {
    fn phase_started(&self, p: larder::reporter::Phase, i: u64, b: Option<u64>) {
        eprintln!("start {p:?} {i} {b:?}");
    }
    fn item_started(&self, _: larder::reporter::Phase, _: u64, _: &str, _: Option<u64>) {}
    fn item_advanced(&self, _: larder::reporter::Phase, _: u64, _: i64) {}
    fn item_finished(&self, _: larder::reporter::Phase, _: u64) {}
    fn phase_finished(&self, p: larder::reporter::Phase) {
        eprintln!("end {p:?}");
    }
    fn note(&self, l: larder::reporter::Level, t: &str) {
        eprintln!("{l:?}: {t}");
    }
}
fn main() {
    let mut args = std::env::args().skip(1);
    let cmd = args.next().unwrap();
    let vars = Variables::from_env();
    let cwd = std::env::current_dir().unwrap();
    let mut config = Config::load(None, &cwd, &vars).unwrap_or_else(|e| panic!("{e}"));
    let mut envs = vec![];
    let mut mirrors = vec![];
    while let Some(a) = args.next() {
        match a.as_str() {
            "-e" => envs.push(cwd.join(args.next().unwrap())),
            "--mirror" => mirrors.push(larder::types::Mirror::from_url(&args.next().unwrap(), &cwd).unwrap()),
            "--unsigned" => mirrors.iter_mut().for_each(|m| m.signatures = larder::types::Signatures::NotRequired),
            _ => panic!("{a}"),
        }
    }
    if !envs.is_empty() {
        config.environments = envs;
    }
    if !mirrors.is_empty() {
        config.mirrors = Some(mirrors);
    }
    let home = std::env::var("HOME").ok().map(PathBuf::from);
    let s = Session::new(config, vars, home, &P);
    let w = Wanted::default();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let r = match cmd.as_str() {
        "plan" => rt.block_on(plan(&s, &w)),
        "prepare" => rt.block_on(prepare(&s, &w)).map(|p| {
            eprintln!("{}", p.scope.display());
            p.report
        }),
        "warm" => rt.block_on(warm(&s, &w)),
        "finish" => finish(&s, Mode::Act),
        "verify" => verify(&s, OnCorrupt::Report),
        "list" => list(&s),
        "clean" => clean(&s, Mode::Act),
        _ => panic!(),
    };
    match r {
        Ok(r) => {
            for x in &r.specs {
                println!("{} {} {:?} {:?} {:?} {:?}", x.name, x.hash, x.status, x.mirror, x.cache, x.bytes);
            }
            for c in &r.caches {
                println!("{c:?}");
            }
            println!("{:?} {:?}", r.totals, r.warnings);
        }
        Err(e) => {
            eprintln!("{e:?}");
            std::process::exit(1)
        }
    }
}
