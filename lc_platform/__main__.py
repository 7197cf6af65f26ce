from lc_platform.runtime import signals


def main() -> None:
    """The entry point of lc-platform: a signal ends it without a traceback from its first moment,
    also while the rest is loaded."""
    signals.end_at_first()
    from lc_platform import cli

    try:
        cli.main()
    except SystemExit as ended:
        if ended.code == signals.status():
            signals.end_at_once(signals.Ended.signal)  # all is done, and no thread is waited for
        raise


if __name__ == "__main__":
    main()
