"""No fixture has the name of one that a plugin of pytest brings and looks at.

pytest-benchmark, for one, takes every `benchmark` for its own, and pytest ends in an internal
error. Plugins load wherever they are installed, so these names are out of bounds.
"""

import ast
from pathlib import Path

# By how often they are installed, with what their documentation lists.
PLUGINS = {
    'pytest': 'cache capfd capfdbinary caplog capsys capsysbinary doctest_namespace monkeypatch '
    'pytestconfig record_property record_testsuite_property record_xml_attribute recwarn request '
    'subtests testdir pytester tmp_path tmp_path_factory tmpdir tmpdir_factory',
    'pytest-xdist': 'testrun_uid worker_id',
    'pytest-cov': 'cov no_cover',
    'pytest-benchmark and pytest-codspeed': 'benchmark benchmark_weave',
    'pytest-mock': 'mocker class_mocker module_mocker package_mocker session_mocker',
    'faker': 'faker',
    'anyio': 'anyio_backend anyio_backend_name anyio_backend_options free_tcp_port '
    'free_tcp_port_factory free_udp_port free_udp_port_factory',
    'pytest-asyncio': 'event_loop event_loop_policy unused_tcp_port unused_tcp_port_factory '
    'unused_udp_port unused_udp_port_factory',
    'pytest-aiohttp': 'aiohttp_client aiohttp_server',
    'pytest-django': 'admin_client admin_user client async_client db transactional_db rf settings '
    'live_server mailoutbox django_user_model',
    'pytest-flask': 'accept_any accept_json config client client_class live_server',
    'pytest-httpserver': 'httpserver make_httpserver',
    'requests-mock': 'requests_mock',
    'responses': 'responses',
    'pytest-httpx': 'httpx_mock',
    'pytest-recording': 'vcr vcr_config block_network',
    'pytest-freezer': 'freezer',
    'time-machine': 'time_machine',
    'pyfakefs': 'fs fs_class fs_module fs_session',
    'syrupy': 'snapshot',
    'pytest-snapshot': 'snapshot',
    'pytest-datadir': 'datadir shared_datadir original_datadir lazy_datadir',
    'pytest-regressions': 'data_regression dataframe_regression file_regression image_regression '
    'ndarrays_regression num_regression',
    'pytest-playwright': 'browser browser_name browser_type context new_context page playwright',
    'pytest-qt': 'qapp qtbot qtlog qtmodeltester',
    'pytest-subprocess': 'fake_process fp',
    'pytest-console-scripts': 'script_runner script_launch_mode',
    'pytest-bdd': 'pytestbdd_feature_base_dir',
    'pytest-postgresql': 'postgresql postgresql_proc',
    'pytest-localserver': 'httpsserver smtpserver',
    'pytest-html': 'extra extras',
    'pytest-metadata': 'metadata',
    'pytest-socket': 'socket_disabled socket_enabled',
    'pytest-memray': 'limit_memory',
}


def fixtures(file: Path) -> set[str]:
    """The names under which the fixtures of a file are asked for."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        for decorator in getattr(node, 'decorator_list', []):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(called) in ('pytest.fixture', 'fixture'):
                names = [
                    word.value for word in getattr(decorator, 'keywords', []) if word.arg == 'name'
                ]
                found.add(ast.literal_eval(names[0]) if names else node.name)
    return found


def test_no_fixture_takes_the_name_of_a_plugins():
    ours = {
        (name, file.name) for file in Path(__file__).parent.rglob('*.py') for name in fixtures(file)
    }
    assert {('video', 'conftest.py'), ('run', 'test_vis_to_coco.py')} <= ours
    taken = {name: plugin for plugin, names in PLUGINS.items() for name in names.split()}
    assert not [f'{name} in {file}: {taken[name]}' for name, file in ours if name in taken]
