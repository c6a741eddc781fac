"""Metrics as Telegraf, collectd, Graphite's senders and Prometheus' adapters write them."""

from schemas.frames import canonical
from tests.streams.formats.contract import NEST, Golden, absurd

NUMBERS = (b"-5", b"9" * 30, b"1" * 400, b"1e5", b"soon", b"1_000")
FLOATS = (b"-5", b"9" * 30, b"1e300", b"soon", b"1_000", b"nan")

INFLUX = (
    b"cpu,cpu=cpu0,host=loaner usage_active=31.249999981810106,usage_idle=68.7500000181899"
    b" 1568760922000000000\n"
)
INFLUX_AT = 1_568_760_922_000
INFLUX_ODD = (
    rb'disk\ free,path=C:\\,my\,tag=a\ b\=c n=5i,u=7u,ok=t,bad=F,name="x, y=\"z\" 1",value=-1.5e3'
    b" 1568760922000000000\n# said\nup value=1\r\n"
)
ODD = r'{my_tag="a b=c",path="C:\\\\",service="shop"}'

TELEGRAF = (
    b'{"fields":{"field_1":30,"field_2":4,"field_N":59,"n_images":660},"name":"docker","tags":'
    b'{"host":"raynor"},"timestamp":1458229140}\n'
)
TELEGRAF_AT = 1_458_229_140_000
RAYNOR = '{host="raynor",service="raynor"}'
TELEGRAF_BATCH = (
    b'{"metrics":[{"fields":{"value":1.5,"state":"ok","up":true},"name":"net","tags":{"app":"a"},'
    b'"timestamp":1458229140500},{"fields":{"errors":null,"drops":2},"name":"net","tags":{"app":'
    b'"a"},"timestamp":1458229141500}]}'
)
APP = '{app="a",service="a"}'

COLLECTD = (
    b'[{"values":[0.31,0.34,0.28],"dstypes":["gauge","gauge","gauge"],"dsnames":["shortterm",'
    b'"midterm","longterm"],"time":1517512718.495,"interval":10.000,"host":"photon2","plugin":"load",'
    b'"plugin_instance":"","type":"load","type_instance":""}]'
)
COLLECTD_AT = 1_517_512_718_495
COLLECTD_TOTALS = (
    b'[{"values":[1200,null],"dstypes":["derive","derive"],"dsnames":["rx","tx"],"time":'
    b'"1517512718.495","interval":10.000,"host":"photon2","plugin":"interface","plugin_instance":'
    b'"eth0","type":"if_octets","type_instance":"","meta":{"network:received":true}}]'
)
PHOTON = '{host="photon2",service="photon2"}'
LOADS = tuple(
    (f"load_{name}{PHOTON}", COLLECTD_AT, value)
    for name, value in (("shortterm", 0.31), ("midterm", 0.34), ("longterm", 0.28))
)
ETH0 = '{host="photon2",plugin_instance="eth0",service="photon2"}'
PUTVAL = b"PUTVAL photon2/load/load interval=10.000 1517512718.495:0.31:0.34:0.28"
PUTVAL_ODD = b'PUTVAL "my host/df-root/df_complex-free" interval=10 N:U 1517512718:12\r\n'
PUTVAL_TOTALS = b"PUTVAL photon2/interface-eth0/if_octets interval=10.000 1517512718.495:1200:34\n"
MY_HOST = '{host="my host",plugin_instance="root",service="my host",type_instance="free"}'

ADAPTER = (
    b'{"value":"456","timestamp":"1970-01-01T00:00:00Z","name":"foo","labels":{"__name__":"foo",'
    b'"labelfoo":"label-bar"}}'
)
ADAPTER_NAN = (
    b'{"value":"NaN","timestamp":"2026-01-02T03:04:05Z","name":"foo","labels":{"__name__":"foo",'
    b'"job":"j"}}'
)

EXPOSITION = b"""# HELP rt Response time.
# TYPE rt histogram
rt_bucket{app="shop",le="0.1"} 3
rt_bucket{app="shop",le="+Inf"} 4 # {trace_id="7"} 0.7 1767323045.6
rt_sum{app="shop"} 0.7 1767323045.5
hot{app="a\\"b\\\\c\\nd",} NaN
{"my.metric", app="shop", "host.name"="{1}"} +Inf 1767323045500
up{app="shop"} 1 1767323045500
# EOF
"""
SHOP = 'app="shop"'
NOW = 1_767_323_045_678


def _web1(metric: str, **labels: str) -> str:
    """A series of a machine's, as its Telegraf names it."""
    return canonical(metric, {"host": "web1", "region": "eu", "service": "web1"} | labels)


# As Telegraf 1.37 wrote them to Kafka, a metric a record
WEB1 = '{app="pay",host="web1",region="eu",service="pay"}'
WEB1_AT = 1_795_359_129_800
INFLUX_TEXT = (
    rb'said,app=pay,host=web1,region=eu text="two' + b"\n" + rb'lines, and \"more\" a=b",n=1i '
    b"1795359129800123456\n"
)
INFLUX_NAMES = (
    rb"odd\ name\,x,app=pay,host=web1,path=C:\\dir\x,region=eu,share=\\\\srv\\y,sp=a\ b\,c\=d f\ g=1,h\=i=2"
    b" 1795359129800123456\n"
)
NAMES = (
    r'{app="pay",host="web1",path="C:\\\\dir\\x",region="eu",service="pay",'
    r'share="\\\\\\\\srv\\\\y",sp="a b,c=d"}'
)
INFLUX_QUOTE = b'q,app=pay,host=web1,region=eu,say="hi\\ there v=1,text="" 1795359129800123456\n'
SCRAPED = b"prometheus,host=web1,path=/,region=eu orders_total=7.1 1795359129800123456\n"
TELEGRAF_NESTED = (
    b'{"fields":{"n":2,"text":{"a":1,"b":[1,2]}},"name":"said","tags":{"app":"pay","host":"web1",'
    b'"region":"eu"},"timestamp":1795359129800}\n'
)
TELEGRAF_INFINITE = (
    b'{"fields":{},"name":"prometheus","tags":{"host":"web1","kind":"high","region":"eu"},'
    b'"timestamp":1795359131}\n'
)
EXPOSED_BUCKET = b"""\
# HELP response_seconds Telegraf collected metric
# TYPE response_seconds histogram
response_seconds_bucket{host="web1",region="eu",le="0.1"} 3 1795359131050
response_seconds_bucket{host="web1",region="eu",le="+Inf"} 0 1795359131050
response_seconds_sum{host="web1",region="eu"} 0 1795359131050
response_seconds_count{host="web1",region="eu"} 0 1795359131050
"""
EXPOSED_INFINITE = b"""\
# HELP response_seconds Telegraf collected metric
# TYPE response_seconds histogram
response_seconds_bucket{host="web1",region="eu",le="+Inf"} 5 1795359131050
response_seconds_sum{host="web1",region="eu"} 0 1795359131050
response_seconds_count{host="web1",region="eu"} 0 1795359131050
"""
EXPOSED_QUANTILE = b"""\
# HELP size_bytes Telegraf collected metric
# TYPE size_bytes summary
size_bytes{host="web1",region="eu",quantile="0.5"} 1 1795359131050
size_bytes_sum{host="web1",region="eu"} 0 1795359131050
size_bytes_count{host="web1",region="eu"} 0 1795359131050
"""
WRITTEN_BUCKET = bytes.fromhex(
    "cc02f04c0a470a200a085f5f6e616d655f5f1214726573706f6e73655f7365636f6e64735f73756d0a0c0a04686f7374"
    "1204776562310a0c0a06726567696f6e12026575120710aa8bf99da0340a490a221d49001642490014636f756e740a92"
    "4b0008560a231d4b0017424b00106275636b653e4c002c0a0a026c6512042b496e660a5aa300005ece58000009055808"
    "03302e3efa00401009000000000000084010aa8bf99da034"
)
WRITTEN_INFINITE = bytes.fromhex(
    "f501f04f0a490a220a085f5f6e616d655f5f1216726573706f6e73655f7365636f6e64735f636f756e740a0c0a04686f"
    "73741204776562310a0c0a06726567696f6e12026575120710aa8bf99da0340a5f0a230a194b0017424b00106275636b"
    "653e4c002c0a0a026c6512042b496e660a36580008100900050104144011610c470a200a196100144261001473756d0a"
    "0c0a86aa00"
)
SAID_AT = 1_795_359_131_050

METRICS = [
    Golden(
        "influx",
        INFLUX_TEXT,
        samples=((f"said_n{WEB1}", WEB1_AT, 1.0),),
        skips={"text-field": 1},
        stranger=b'said text="x" when',
        cuts=70,
    ),
    Golden(
        "influx",
        INFLUX_NAMES,
        samples=(
            (f"odd_name_x_f_g{NAMES}", WEB1_AT, 1.0),
            (f"odd_name_x_h_i{NAMES}", WEB1_AT, 2.0),
        ),
        cuts=99,
    ),
    Golden(
        "influx",
        INFLUX_QUOTE,
        samples=((_web1("q_v", app="pay", say='"hi there', service="pay"), WEB1_AT, 1.0),),
        skips={"text-field": 1},
        cuts=55,
    ),
    Golden(
        "influx",
        SCRAPED,
        samples=((_web1("orders_total", path="/"), WEB1_AT, 7.1),),
        cuts=SCRAPED.index(b".1"),
    ),
    Golden(
        "telegraf-json",
        TELEGRAF_NESTED,
        samples=((f"said_n{WEB1}", WEB1_AT, 2.0),),
        skips={"text-field": 1},
        cuts=len(TELEGRAF_NESTED) - 1,
        deep=TELEGRAF_NESTED.replace(b"[1,2]", NEST),
    ),
    Golden(
        "telegraf-json",
        TELEGRAF_INFINITE,
        skips={"metric-without-points": 1},
        cuts=len(TELEGRAF_INFINITE) - 1,
    ),
    Golden(
        "openmetrics",
        EXPOSED_BUCKET,
        samples=((_web1("response_seconds_bucket", le="0.1"), SAID_AT, 3.0),),
        skips={"placeholder": 3},
        cuts=295,
    ),
    Golden(
        "openmetrics",
        EXPOSED_INFINITE,
        samples=((_web1("response_seconds_bucket", le="+Inf"), SAID_AT, 5.0),),
        skips={"placeholder": 2},
        cuts=237,
    ),
    Golden(
        "openmetrics",
        EXPOSED_QUANTILE,
        samples=((_web1("size_bytes", quantile="0.5"), SAID_AT, 1.0),),
        skips={"placeholder": 2},
        cuts=203,
    ),
    Golden(
        "remote-write",
        WRITTEN_BUCKET,
        samples=((_web1("response_seconds_bucket", le="0.1"), SAID_AT, 3.0),),
        skips={"placeholder": 3},
    ),
    Golden(
        "remote-write",
        WRITTEN_INFINITE,
        samples=((_web1("response_seconds_bucket", le="+Inf"), SAID_AT, 5.0),),
        skips={"placeholder": 2},
    ),
    Golden(
        "influx",
        INFLUX,
        stranger=b"up",
        cuts=51,
        samples=(
            (
                'cpu_usage_active{cpu="cpu0",host="loaner",service="loaner"}',
                INFLUX_AT,
                31.249999981810106,
            ),
            (
                'cpu_usage_idle{cpu="cpu0",host="loaner",service="loaner"}',
                INFLUX_AT,
                68.7500000181899,
            ),
        ),
        absurd=absurd(INFLUX, b"1568760922000000000", NUMBERS),
    ),
    Golden(
        "influx",
        INFLUX_ODD,
        stranger=b"up,=1 value=1",
        cuts=86,
        samples=(
            (f"disk_free_n{ODD}", INFLUX_AT, 5.0),
            (f"disk_free_u{ODD}", INFLUX_AT, 7.0),
            (f"disk_free_ok{ODD}", INFLUX_AT, 1.0),
            (f"disk_free_bad{ODD}", INFLUX_AT, 0.0),
            (f"disk_free{ODD}", INFLUX_AT, -1500.0),
            ('up{service="shop"}', NOW, 1.0),
        ),
        skips={"text-field": 1, "comment": 1},
        service="shop",
    ),
    Golden(
        "influx@s",
        b"up,app=a value=1 1568760922",
        cuts=16,
        samples=((f"up{APP}", INFLUX_AT, 1.0),),
        absurd=absurd(
            b"up,app=a value=1 1568760922", b"1568760922", (b"1568760922000", b"0", b"-1")
        ),
    ),
    Golden(
        "telegraf-json",
        TELEGRAF,
        stranger=b"{}",
        cuts=129,
        samples=tuple(
            (f"docker_{name}{RAYNOR}", TELEGRAF_AT, float(value))
            for name, value in (("field_1", 30), ("field_2", 4), ("field_N", 59), ("n_images", 660))
        ),
        absurd=absurd(TELEGRAF, b"1458229140"),
        deep=TELEGRAF.replace(b'{"host":"raynor"}', NEST),
    ),
    Golden(
        "telegraf-json",
        TELEGRAF_BATCH,
        samples=(
            (f"net{APP}", TELEGRAF_AT + 500, 1.5),
            (f"net_up{APP}", TELEGRAF_AT + 500, 1.0),
            (f"net_drops{APP}", TELEGRAF_AT + 1500, 2.0),
        ),
        skips={"text-field": 1, "nan": 1},
    ),
    Golden(
        "telegraf-json@ms",
        b'{"name":"up","tags":{"app":"a"},"fields":{"value":1},"timestamp":1458229140000}',
        samples=((f"up{APP}", TELEGRAF_AT, 1.0),),
        absurd=absurd(
            b'{"name":"up","tags":{"app":"a"},"fields":{"value":1},"timestamp":1458229140000}',
            b"1458229140000",
            (b"1458229140", b"0", b"1458229140000000", b'"soon"', b"[]"),
        ),
    ),
    Golden(
        "collectd-json",
        COLLECTD,
        samples=LOADS,
        cuts=len(COLLECTD) - 1,  # an empty record is left out
        absurd=absurd(COLLECTD, b"1517512718.495"),
        deep=COLLECTD.replace(b"10.000", NEST),
    ),
    Golden(
        "collectd-json",
        COLLECTD_TOTALS,
        samples=((f"interface_if_octets_rx{ETH0}", COLLECTD_AT, 1200.0),),
        skips={"nan": 1},
        cuts=len(COLLECTD_TOTALS) - 1,
    ),
    Golden(
        "collectd-json@totals",
        COLLECTD_TOTALS,
        samples=((f"interface_if_octets_rx_total{ETH0}", COLLECTD_AT, 1200.0),),
        skips={"nan": 1},
        cuts=len(COLLECTD_TOTALS) - 1,
    ),
    Golden("collectd-command", PUTVAL, samples=LOADS, cuts=59),
    Golden(
        "collectd-command",
        PUTVAL_TOTALS,
        cuts=73,
        samples=(
            (f"interface_if_octets_rx_total{ETH0}", COLLECTD_AT, 1200.0),
            (f"interface_if_octets_tx_total{ETH0}", COLLECTD_AT, 34.0),
        ),
    ),
    Golden(
        "collectd-command",
        PUTVAL_ODD,
        stranger=b"GETVAL h/p/t",
        cuts=67,
        samples=((f"df_df_complex{MY_HOST}", 1_517_512_718_000, 12.0),),
        skips={"nan": 1},
        absurd=absurd(PUTVAL_ODD.replace(b"N:U ", b""), b"1517512718", FLOATS),
    ),
    Golden(
        "graphite",
        b"photon2.load.load.shortterm 0.310000 1517512718\r\n",
        stranger=b"a b",
        cuts=37,  # an empty record is left out
        samples=(('photon2.load.load.shortterm{service="shop"}', 1_517_512_718_000, 0.31),),
        service="shop",
        absurd=absurd(b"a.b 0.31 1517512718\r\n", b"1517512718", FLOATS),
    ),
    Golden(
        "graphite",
        b"requests.count;service=checkout;region=eu 17 -1\nrequests.count;service=cart nan N\n",
        cuts=78,
        samples=(('requests.count{region="eu",service="checkout"}', NOW, 17.0),),
        skips={"nan": 1},
    ),
    Golden(
        "prometheus-json",
        ADAPTER,
        stranger=b"[]",
        samples=(('foo{labelfoo="label-bar",service="shop"}', 0, 456.0),),
        service="shop",
        absurd=absurd(ADAPTER, b'"1970-01-01T00:00:00Z"'),
        deep=ADAPTER.replace(b'"label-bar"', NEST),
    ),
    Golden("prometheus-json", ADAPTER_NAN, skips={"nan": 1}),
    Golden(
        "openmetrics",
        EXPOSITION,
        stranger=b"9 9 9 9",
        cuts=215,  # an empty record is left out
        samples=(
            (f'rt_bucket{{{SHOP},le="0.1",service="shop"}}', NOW, 3.0),
            (f'rt_bucket{{{SHOP},le="+Inf",service="shop"}}', NOW, 4.0),
            (f'rt_sum{{{SHOP},service="shop"}}', 1_767_323_045_500, 0.7),
            (f'up{{{SHOP},service="shop"}}', 1_767_323_045_500, 1.0),
        ),
        skips={"exemplar": 1, "nan": 1, "inf": 1},
        absurd=absurd(b'up{app="shop"} 1 1767323045500', b"1767323045500", FLOATS),
    ),
]
