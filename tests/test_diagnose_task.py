"""The task diagnose: after stages 2 and 3, without training; again where a training has gone on."""

import stub_project
from stub_project import Project

STUB = '''
def main():
    experiment, = sys.argv[1:]
    begin(name(experiment))
    write(Path("exp", experiment), "diagnosis.html diagnosis.json", "sound")
'''


def test_diagnosis_needs_no_training_and_follows_it(tmp_path, monkeypatch):
    monkeypatch.setitem(stub_project.STAGES, "diagnose", STUB)
    project = Project(tmp_path / "project")
    project.make()
    project.doit("diagnose:mini")
    assert sorted(project.ran()) == ["diagnose:mini", "features:mini_fbank", "lexicon:mini", "prepare:mini"]
    project.doit("diagnose:mini")
    assert project.ran() == []
    project.doit("train:mini")
    project.doit("diagnose:mini")
    assert project.ran() == ["train:mini", "diagnose:mini"]
    project.doit("clean", "diagnose:mini")
    assert not list((project.folder / "exp/mini").glob("diagnosis.*"))
