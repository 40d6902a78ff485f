"""
Metadata that depends on who publishes the wheel: the project's URLs, and README's links as an index page needs them.

Without PROJECT_URL there are no URLs, and README is unchanged. With it, such as ``make wheel
PROJECT_URL=https://git.example.com/data/airflow-provider-dagconfig``, links into the repository are absolute, in the form of GitHub
and GitLab, at the release's tag.
"""

import os
import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent


def metadata(project_url: str) -> dict[str, object]:
    """
    Return setuptools' arguments.

    :param project_url: where the repository is, without a branch; empty if that is not known.
    """
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    urls = {}
    if project_url:
        if not re.fullmatch(r"https?://[^\s@]+", project_url):
            raise SystemExit(
                f"PROJECT_URL is {project_url!r}: write where the repository is, such as https://git.example.com/data/NAME"
            )
        version = re.search(r'^__version__ = "(.+)"$', (HERE / "airflow_provider_dagconfig/__init__.py").read_text(), re.MULTILINE)
        assert version
        page, picture = (f"{project_url.rstrip('/')}/{kind}/v{version[1]}" for kind in ("blob", "raw"))
        readme = re.sub(r"(!\[[^\]]*\]\()(?![a-z]+:|#)", rf"\1{picture}/", readme)
        readme = re.sub(r"(?<!!)(\[[^\[\]]*\]\()(?![a-z]+:|#)", rf"\1{page}/", readme)
        urls = {
            "Repository": project_url,
            "Documentation": f"{page}/README.md",
            "Changelog": f"{page}/CHANGELOG.md",
        }
    return {"long_description": readme, "long_description_content_type": "text/markdown", "project_urls": urls}


if __name__ == "__main__":
    setup(**metadata(os.environ.get("PROJECT_URL", "")))
