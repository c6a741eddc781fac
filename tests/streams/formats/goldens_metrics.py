"""Metrics as Telegraf, collectd, Graphite's senders and Prometheus' adapters write them."""

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
ODD = r'{my_tag="a b=c",path="C:\\",service="shop"}'

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

METRICS = [
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
        cuts=38,
        samples=(('photon2.load.load.shortterm{service="shop"}', 1_517_512_718_000, 0.31),),
        service="shop",
        absurd=absurd(b"a.b 0.31 1517512718\r\n", b"1517512718", FLOATS),
    ),
    Golden(
        "graphite",
        b"requests.count;service=checkout;region=eu 17 -1\nrequests.count;service=cart nan N\n",
        cuts=79,
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
        cuts=216,
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
