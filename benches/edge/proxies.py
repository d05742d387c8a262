"""The proxies and what is behind them, configured to do the same work, each as its operators would for speed.

All: keep-alive both ways, X-Forwarded-For/-Proto/-Host, an x-request-id on request and answer, no access log, the same certificate,
TLS 1.2 and 1.3 with session tickets, large bodies passed on as they come. The edge's snapshot has its defaults."""

import json
import subprocess

HOST = "localhost"
# Hosts of the routes that are swapped; a wildcard covers one label.
MANY = "bench.localhost"
# What its log costs is asked for by name: no other one writes one.
LOGGED = "edge-logged"


def certify(folder):
    """A certificate of the usual kind (P-256), the same for all."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},DNS:*.{MANY}"]
    subprocess.run(["openssl", "req", "-x509", *curve, *name, "-days", "2", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
    for file in (key, folder / "both.pem"):
        file.chmod(0o600)


def fill(folder):
    """What is served: by the upstream (`www`), and by the proxies themselves (`static`)."""
    for name, size in {"www/cached": 10 * 1024, "static/100k": 100 * 1024}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def upstream(folder, port, workers):
    """As cheap as an answer gets, from memory: it shares cores with the clients, and neither should be the limit."""
    config = folder / f"upstream-{port}.conf"
    config.write_text(f"""
worker_processes {workers}; daemon off; pid {folder}/upstream-{port}.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; open_file_cache max=10;
  server {{
    listen 127.0.0.1:{port} reuseport; root {folder}/www;
    location = /1k {{ return 200 {"x" * 1024}; }}
    location /cached {{ expires 1h; }}
  }}
}}
""")
    return ["nginx", "-e", "stderr", "-c", str(config)]


class Place:
    """What a proxy is told: its folder, its ports, what is behind it, its workers, and a name for its files."""

    def __init__(self, folder, tag, workers, plain, secure, upstream_port, sink_port, edge):
        self.folder, self.tag, self.workers = folder, tag, workers
        self.plain, self.secure, self.upstream, self.sink = plain, secure, upstream_port, sink_port
        self.edge = edge
        self.admin = folder / f"{tag}.sock"


def slots(name, port, release="v1"):
    return {"slots": [{"name": "blue", "release": release, "weight": 1, "instances": [{"id": name, "address": f"127.0.0.1:{port}"}]}]}


def snapshot(place, generation=1, more_routes=()):
    return {
        "generation": generation,
        "listeners": [{"address": f"127.0.0.1:{place.plain}"}, {"address": f"127.0.0.1:{place.secure}", "tls": True}],
        "routes": [
            {"name": "bench", "hosts": [HOST], "target": slots("upstream-1", place.upstream)},
            {"name": "files", "hosts": [HOST], "path": "/static", "target": {"static": {"root": str(place.folder / "static")}}},
            {"name": "stream", "hosts": [HOST], "path": "/stream", "target": slots("sink-1", place.sink), "limits": {"max_body_bytes": 2**40}},
            *more_routes,
        ],
        # The clients are one address here.
        "limits": {"max_connections_per_address": 8192},
        "tls": {"certificates": [{"certificate": str(place.folder / "certificate.pem"), "key": str(place.folder / "key.pem")}]},
    }


def edge(place):
    config = place.folder / f"edge-{place.tag}.json"
    config.write_text(json.dumps(snapshot(place)))
    return [*place.edge, "--config", str(config), "--admin", str(place.admin), "--threads", str(place.workers)]


def edge_logged(place):
    """The edge as the control plane starts it: with a line for each request."""
    return [*edge(place), "--access-log", str(place.folder / f"access-{place.tag}.log")]


def nginx(place):
    """Small answers from its cache are cheaper to read than to send by `sendfile` (by a fifth), files of 100 KiB are not."""
    folder, config = place.folder, place.folder / f"nginx-{place.tag}.conf"
    headers = """proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $request_id;
      add_header X-Request-Id $request_id;"""
    config.write_text(f"""
worker_processes {place.workers}; worker_rlimit_nofile 20000; daemon off; pid {folder}/nginx-{place.tag}.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on;
  upstream backend {{ server 127.0.0.1:{place.upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  upstream sink {{ server 127.0.0.1:{place.sink}; keepalive 1024; keepalive_requests 1000000000; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  proxy_cache_path {folder}/cache-{place.tag} keys_zone=kept:10m use_temp_path=off;
  ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:10m; ssl_session_tickets on;
  open_file_cache max=1000; proxy_max_temp_file_size 0;
  server {{
    listen 127.0.0.1:{place.plain} reuseport; listen 127.0.0.1:{place.secure} ssl http2 reuseport; server_name {HOST};
    location /static/ {{ root {folder}; }}
    location /cached {{ proxy_pass http://backend; proxy_set_header Connection ""; proxy_cache kept; sendfile off; {headers} }}
    location /stream/ {{
      proxy_pass http://sink; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; {headers}
      proxy_request_buffering off; client_max_body_size 0; proxy_read_timeout 1h;
    }}
    location / {{ proxy_pass http://backend; proxy_set_header Connection ""; {headers} }}
  }}
}}
""")
    return ["nginx", "-e", "stderr", "-c", str(config)]


def haproxy(place):
    config = place.folder / f"haproxy-{place.tag}.cfg"
    config.write_text(f"""
global
  nbthread {place.workers}
  maxconn 8192
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  http-reuse always
frontend in
  bind 127.0.0.1:{place.plain} shards by-thread
  bind 127.0.0.1:{place.secure} shards by-thread ssl crt {place.folder}/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2
  option forwardfor
  unique-id-format %[uuid]
  http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-Id %[unique-id]
  http-response set-header X-Request-Id %[unique-id]
  acl ours req.hdr(host),host_only -m str {HOST}
  use_backend sink if ours {{ path_beg /stream/ }}
  use_backend out if ours
backend out
  server one 127.0.0.1:{place.upstream} maxconn 8192 pool-max-conn 1024
backend sink
  server one 127.0.0.1:{place.sink} maxconn 8192 pool-max-conn 1024
""")
    return ["haproxy", "-q", "-f", str(config)]


def caddy(place):
    config = place.folder / f"caddy-{place.tag}.json"
    folder = place.folder

    def to(port):
        return {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"127.0.0.1:{port}"}],
            "transport": {"protocol": "http", "compression": False, "keep_alive": {"max_idle_conns_per_host": 1024}},
            "headers": {
                "request": {"set": {"X-Request-Id": ["{http.request.uuid}"]}},
                "response": {"set": {"X-Request-Id": ["{http.request.uuid}"]}},
            },
        }

    routes = [
        {"match": [{"host": [HOST], "path": ["/static/*"]}], "handle": [{"handler": "file_server", "root": str(folder)}]},
        {"match": [{"host": [HOST], "path": ["/stream/*"]}], "handle": [to(place.sink)]},
        {"match": [{"host": [HOST]}], "handle": [to(place.upstream)]},
    ]
    both = {"automatic_https": {"disable": True}, "protocols": ["h1", "h2"], "routes": routes}
    config.write_text(json.dumps({
        "admin": {"disabled": True},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {
            "tls": {"certificates": {"load_files": [{"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}]}},
            "http": {"servers": {
                "plain": {"listen": [f"127.0.0.1:{place.plain}"], **both},
                "secure": {"listen": [f"127.0.0.1:{place.secure}"], "tls_connection_policies": [{}], **both},
            }},
        },
    }))
    return ["caddy", "run", "--config", str(config)]


PROXIES = {"edge": edge, "nginx": nginx, "haproxy": haproxy, "caddy": caddy, LOGGED: edge_logged}
