from vig_pyg.engine.plots import draw_curves


def test_curves_hold_the_numbers():
    rows = [{"epoch": e, "train_loss": 2 / e, "val_loss": 1 / e, "val_accuracy": 0.3 * e} for e in (1, 2, 3)]
    loss, accuracy = draw_curves(rows).axes
    assert loss.lines[0].get_ydata().tolist() == [2, 1, 2 / 3]
    assert loss.lines[1].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert "90.00" in accuracy.get_legend().get_texts()[0].get_text()


def test_curves_show_losses_and_precision_where_it_was_evaluated():
    rows = [
        {"epoch": 1, "train_loss": 3.0, "train_classification": 2.0, "train_bbox_regression": 1.0},
        {"epoch": 2, "train_loss": 2.0, "train_classification": 1.0, "train_bbox_regression": 1.0, "val_AP50": 0.5,
         "val_AP": 0.25, "val_mask_AP50": 0.75},
    ]  # fmt: skip
    losses, scores = draw_curves(rows).axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[3, 2], [2, 1], [1, 1]]
    labels = [text.get_text() for text in losses.get_legend().get_texts()]
    assert labels == ["training, sum", "classification", "bbox regression"]
    assert [list(line.get_ydata()) for line in scores.lines] == [[50], [25], [75]]
    assert [list(line.get_xdata()) for line in scores.lines] == [[2]] * 3
    assert [t.get_text().split(":")[0] for t in scores.get_legend().get_texts()] == ["AP50", "AP", "mask AP50"]


def test_before_the_first_evaluation_there_are_losses_alone():
    losses, scores = draw_curves([{"epoch": 1, "train_loss": 3.0}]).axes
    assert len(losses.lines) == 1 and not scores.lines
