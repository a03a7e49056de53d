//! The list of all settings: name, environment variable, help. `sources.rs` reads them, `mod.rs`
//! gives them their types. A setting that is not in this table does not exist.

/// One setting as the operator sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Setting {
    /// Key in the file.
    pub(super) key: &'static str,
    /// Name of the flag.
    pub(super) flag: &'static str,
    /// Environment variable.
    pub(super) env: &'static str,
    /// Placeholder in the help.
    pub(super) value: &'static str,
    /// Whether it takes a list (flag repeated or commas; array in the file).
    pub(super) list: bool,
    /// Help text with the default.
    pub(super) help: &'static str,
}

const fn setting(
    [key, flag]: [&'static str; 2],
    env: &'static str,
    value: &'static str,
    list: bool,
    help: &'static str,
) -> Setting {
    Setting { key, flag, env, value, list, help }
}

/// Every setting, in the order of the help.
pub(super) const SETTINGS: [Setting; 18] = [
    setting(
        ["http", "http"],
        "FANFALL_HTTP",
        "ADDR:PORT",
        false,
        "Address of the HTTP API and the page. Default: 127.0.0.1:8080",
    ),
    setting(
        ["tls_cert", "tls-cert"],
        "FANFALL_TLS_CERT",
        "FILE",
        false,
        "Certificates in PEM, the server's own first: the API and the page are served over HTTPS \
         alone. Read again every 5 seconds: a changed pair of certificate and key is taken over \
         without a restart, one that cannot be used is logged and left. Default: none, plain HTTP",
    ),
    setting(
        ["tls_key", "tls-key"],
        "FANFALL_TLS_KEY",
        "FILE",
        false,
        "Private key of the certificate, in PEM (PKCS #8, PKCS #1 or SEC1). Default: none",
    ),
    setting(
        ["media_bind", "media-bind"],
        "FANFALL_MEDIA_BIND",
        "IP,...",
        true,
        "Local addresses of the media sockets, at most one IPv4 and one IPv6. \
         Default: 0.0.0.0 and [::], as far as the host has them",
    ),
    setting(
        ["media_port", "media-port"],
        "FANFALL_MEDIA_PORT",
        "PORT",
        false,
        "Port of all media, UDP and TCP (0: any free one). Default: 1473",
    ),
    setting(
        ["media_tcp", "media-tcp"],
        "FANFALL_MEDIA_TCP",
        "on|off",
        false,
        "Take media over TCP too, on the media port, from clients whose network lets no UDP \
         through. Default: on",
    ),
    setting(
        ["announce", "announce"],
        "FANFALL_ANNOUNCE",
        "IP[:PORT],...",
        true,
        "Addresses clients are told to send media to, when they differ from the host's own (NAT, \
         containers). Default: the host's addresses of the bound families without loopback and \
         link-local ones, plus loopback when the API is bound to loopback",
    ),
    setting(
        ["cores", "cores"],
        "FANFALL_CORES",
        "N",
        false,
        "Number of media threads, 1 to 64. Default: one per available CPU",
    ),
    setting(
        ["pin", "pin"],
        "FANFALL_PIN",
        "on|off",
        false,
        "Pin each media thread to its own CPU. Default: on",
    ),
    setting(
        ["driver", "driver"],
        "FANFALL_DRIVER",
        "auto|uring|mmsg",
        false,
        "How datagrams move: io_uring, recvmmsg/sendmmsg, or io_uring where the kernel allows it. \
         Default: auto",
    ),
    setting(
        ["app_id", "app-id"],
        "FANFALL_APP_ID",
        "ID",
        false,
        "Id of the app, 1 to 64 letters, digits, '-' or '_'. The file may list several [[apps]] \
         with id and secret. Default: generated at start",
    ),
    setting(
        ["app_secret", "app-secret"],
        "FANFALL_APP_SECRET",
        "SECRET",
        false,
        "Secret of the app, 16 to 256 printable characters without spaces. Flags are visible to \
         other users of the host: prefer the variable or the file. Default: generated at start",
    ),
    setting(
        ["state", "state"],
        "FANFALL_STATE",
        "DIR",
        false,
        "Directory of what outlives the process: the apps made by the account API or by fanfall \
         app, and usage. It is its owner's alone and one server's. Default: none, all of it ends \
         with the process",
    ),
    setting(
        ["account_token", "account-token"],
        "FANFALL_ACCOUNT_TOKEN",
        "TOKEN",
        false,
        "Bearer token of the account API, which makes and deletes apps: 16 to 256 printable \
         characters without spaces. As with secrets, prefer the variable or the file. Default: \
         none, the account API is off",
    ),
    setting(
        ["log", "log"],
        "FANFALL_LOG",
        "FILTER",
        false,
        "What is logged to standard error: error, warn, info, debug, trace, or a list such as \
         info,controlplane=debug. Default: info",
    ),
    setting(
        ["page", "page"],
        "FANFALL_PAGE",
        "on|off",
        false,
        "Let the pages at / and /demo use the first app without its secret. Default: on when the \
         API is bound to loopback, else off",
    ),
    setting(
        ["webhook_private", "webhook-private"],
        "FANFALL_WEBHOOK_PRIVATE",
        "on|off",
        false,
        "Let webhooks go to loopback and private addresses, and over plain http: for backends on \
         this host or its network. Default: off, only https to public addresses",
    ),
    setting(
        ["dashboard_token", "dashboard-token"],
        "FANFALL_DASHBOARD_TOKEN",
        "TOKEN",
        false,
        "Token that the dashboard at /dashboard asks for: 16 to 256 printable characters without \
         spaces. As with secrets, prefer the variable or the file. Default: none, the dashboard \
         is open on loopback and off elsewhere",
    ),
];
