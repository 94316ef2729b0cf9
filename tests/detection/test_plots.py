from vig_pyg.detection.plots import draw_curves


def test_curves_show_losses_and_precision_where_it_was_measured():
    rows = [
        {"epoch": 1, "train_loss": 2.0, "train_classification": 1.5},
        {"epoch": 2, "train_loss": 1.0, "train_classification": 0.5, "val_AP": 0.25, "val_AP50": 0.5},
    ]
    left, right = draw_curves(rows).axes
    assert [line.get_label() for line in left.lines] == ["sum", "classification"]
    assert left.lines[0].get_ydata().tolist() == [2, 1]
    assert [line.get_label() for line in right.lines] == ["AP50: 50.0 % at the end", "AP: 25.0 % at the end"]
    assert right.lines[0].get_xdata().tolist() == [2]
